// Operations: what the platform does now, and whether its parts work; for administrators.

import { h, replace } from "../dom.js";
import { duration } from "../format.js";
import { get } from "../http.js";
import { banner, problemBox } from "../notices.js";
import { repeat } from "../refresh.js";
import { query, setQuery } from "../router.js";
import { isAdministrator } from "../session.js";
import { figures } from "./operations/figures.js";
import { parts, warnings } from "./operations/parts.js";
import { queue } from "./operations/queue.js";
import { settings } from "./operations/settings.js";
import { inSteps, throughput } from "./operations/throughput.js";
import { workers } from "./operations/workers.js";

export const title = "Operations";

const SECONDS = 3;
const BANNERS = ["database", "broker", "storage", "disk", "unreachable"];

export function mount(root) {
  if (!isAdministrator()) {
    root.append(h("h1", {}, title), h("div", { class: "card empty" }, h("h2", {}, "Only administrators see the operations"), h("p", {}, "Your own work is on ", h("a", { href: "/tasks" }, "Tasks"), ".")));
    return undefined;
  }

  const subtitle = h("span", { class: "soft small" }, "\u00a0");
  const notice = h("div");
  const views = [figures(), parts(), throughput(), queue(), workers(), settings()];
  const [top, cards, chart, depth, fleet, values] = views.map(({ element }) => element);
  const reach = h(
    "select",
    { "aria-label": "Period of the throughput", onchange: () => { setQuery({ window: reach.value }); load(); } },
    h("option", { value: "" }, "Last hour"),
    h("option", { value: "day" }, "Last day"),
  );
  reach.value = query().get("window") === "day" ? "day" : "";
  const abort = new AbortController();

  async function load() {
    const options = { signal: abort.signal };
    try {
      const [operations, fleetNow, rates, counts] = await Promise.all([
        optional(get("/v1/operations", {}, options)),
        get("/v1/workers", { page_size: 1_000 }, options),
        optional(get("/v1/tasks/throughput", { window: reach.value || "hour", all: true }, options)),
        optional(get("/v1/tasks/counts", { by: "state,kind", all: true }, options)),
      ]);
      banner("unreachable", null);
      replace(notice);
      for (const [name, text] of Object.entries(warnings(operations))) banner(name, text);
      if (operations) replace(subtitle, `Version ${operations.version} · up for ${duration((Date.parse(operations.timestamp) - Date.parse(operations.started_at)) / 1000)}`);
      const now = Date.parse(operations?.timestamp ?? new Date());
      const shown = { operations, workers: fleetNow.items, rates: rates && inSteps(rates), counts, now };
      for (const view of views) view.show(shown);
    } catch (problem) {
      if (abort.signal.aborted) return;
      // What was shown stays: it is the last that is known.
      if (problem.status === 0 || problem.status === 503) banner("unreachable", `${problem.message} What is shown is from before.`);
      else replace(notice, problemBox(problem, load));
    }
  }

  root.append(
    h("div", { class: "screen-head" }, h("div", { class: "grow" }, h("h1", {}, title), subtitle), reach),
    notice,
    top,
    cards,
    h("div", { class: "operations-grid" }, chart, depth),
    fleet,
    values,
  );
  const stop = repeat(load, SECONDS);
  return () => {
    stop();
    abort.abort();
    for (const name of BANNERS) banner(name, null);
  };
}

/** `null` for what an older server does not have. */
async function optional(answer) {
  try {
    return await answer;
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}
