// The user's active sessions, each of which can be ended.

import { h, replace } from "../../dom.js";
import { time } from "../../format.js";
import { get, send } from "../../http.js";
import { problemBox, toastProblem } from "../../notices.js";
import { latest } from "../../refresh.js";
import { pages, refill, tableBox } from "../../sections.js";
import { badge } from "../../states.js";

/** The section of the sessions. */
export function sessions() {
  const body = h("tbody");
  const notice = h("div");
  const list = pages(body, row, (token) => get("/v1/sessions", { page_token: token }));
  const table = tableBox("Active sessions", ["Client", "Address", "Logged in", "Last used", "Expires", ""], body);
  const element = h("section", { class: "stack" }, h("h2", {}, "Active sessions"), notice, table, list.element);

  const run = latest((problem) => replace(notice, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const page = await get("/v1/sessions", {}, { signal });
    replace(notice);
    list.show(page);
  });
  load();

  function row(session) {
    const element = h(
      "tr",
      {},
      h("td", { class: "cell-name" }, h("span", { class: "name", title: session.user_agent ?? "" }, client(session.user_agent))),
      h("td", { class: "nowrap" }, session.address ?? "–"),
      h("td", { class: "nowrap" }, time(session.created_at)),
      h("td", { class: "nowrap" }, time(session.last_used_at)),
      h("td", { class: "nowrap" }, time(session.expires_at)),
      h("td", { class: "numeric" }, session.current ? badge("processed", "This one") : h("button", { class: "small", onclick: (event) => end(session, element, event.currentTarget) }, "End")),
    );
    return element;
  }

  async function end(session, element, button) {
    button.disabled = true;
    try {
      await send("DELETE", `/v1/sessions/${session.session_id}`);
      refill(body, [...body.children].filter((other) => other !== element));
    } catch (problem) {
      button.disabled = false;
      toastProblem(problem);
    }
  }

  return { element, load, leave: run.abort };
}

const BROWSERS = [[/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"]];
const SYSTEMS = [[/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/Linux/, "Linux"]];

/** `Firefox on Linux` for a browser; the text itself for another program. */
function client(agent) {
  if (!agent) return "Unknown";
  const find = (names) => names.find(([pattern]) => pattern.test(agent))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  return browser ? [browser, system].filter(Boolean).join(" on ") : agent;
}
