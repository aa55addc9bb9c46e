// The report of the user events: how many users each city has.

import { barChart, updateChart } from "../../charts.js";
import { h, replace } from "../../dom.js";
import { count, number, time } from "../../format.js";
import { get } from "../../http.js";
import { problemBox } from "../../notices.js";
import { latest } from "../../refresh.js";
import { query } from "../../router.js";
import { periodQuery } from "../../sections.js";
import { isViewer } from "../../session.js";

/** So many cities are shown, until all are asked for. */
const FEW = 15;
/** The page stays quick with this many. */
const MOST = 2_000;

/** The report, with functions to load it and to leave it. */
export function cities() {
  const chart = barChart({ bars: [], unit: "users", label: "Users by city", heading: "City" });
  const total = h("p", { class: "soft small", role: "status" }, "\u00a0");
  const all = h("button", { class: "small", hidden: true, onclick: () => { isWhole = !isWhole; show(); } });
  const notice = h("div");
  const element = h("section", { class: "card stack" }, chart, notice, h("div", { class: "spread" }, total, all));
  let stats = null;
  let isWhole = false;

  function show() {
    const sorted = Object.entries(stats.stats).sort(([, left], [, right]) => right - left);
    const users = sorted.reduce((sum, [, value]) => sum + value, 0);
    const shown = sorted.slice(0, isWhole ? MOST : FEW);
    chart.hidden = sorted.length === 0;
    updateChart(chart, { bars: shown.map(([name, value]) => ({ name, value })) });
    replace(notice, sorted.length === 0 && nothing());
    replace(total, sorted.length > 0 && [`${count(users, "user")} in ${count(sorted.length, "city", "cities")}`, shown.length < sorted.length && `, the first ${number(shown.length)} shown`, " · as of ", time(stats.timestamp)]);
    all.hidden = sorted.length <= FEW;
    all.textContent = isWhole ? `Show the first ${FEW}` : `Show all ${number(sorted.length)}`;
  }

  const run = latest((problem) => replace(notice, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const parameters = query();
    stats = await get(
      "/v1/reports/user_events",
      { user_id: parameters.get("whose"), country: parameters.get("country"), state: parameters.get("state"), ...periodQuery() },
      { signal },
    );
    show();
  });
  return { element, load, stop: run.abort };
}

function nothing() {
  const isFiltered = ["whose", "country", "state", "from", "to"].some((name) => query().get(name));
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, isFiltered ? "No event matches" : "No events yet"),
    h("p", {}, isFiltered ? "Choose another period, country or state; both are spelled as in the events." : isViewer() ? "Your account may look but not send any." : "Generate some, or send what your users did: the number of users in each city appears here."),
  );
}
