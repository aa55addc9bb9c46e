// How many tasks of each kind wait and run, and all tasks by state.

import { barChart, updateChart } from "../../charts.js";
import { h } from "../../dom.js";
import { STATES, duration, kindName, number } from "../../format.js";
import { refill } from "../../sections.js";
import { stateName } from "../../states.js";

/** The depth of the queue by kind. */
export function queue() {
  const body = h("tbody");
  const table = h(
    "table",
    { class: "plain-table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Kind"), ["Waiting", "Oldest", "Running"].map((text) => h("th", { scope: "col", class: "numeric" }, text)))),
    body,
  );
  const states = barChart({ bars: [], unit: "tasks", label: "All tasks by state", heading: "State" });
  const byKind = h("div", { class: "stack" }, h("h2", {}, "Queue"), table);
  const element = h("section", { class: "card stack" }, byKind, states);
  return {
    element,
    show({ operations, counts, now }) {
      byKind.hidden = !operations;
      states.hidden = !counts;
      element.hidden = !operations && !counts;
      const kinds = (operations?.queue ?? []).filter(({ queued, processing }) => queued + processing > 0);
      refill(body, kinds.length ? kinds.map((kind) => row(kind, now)) : h("tr", {}, h("td", { class: "soft", colspan: 4 }, "Nothing waits and nothing runs.")));
      if (counts) updateChart(states, { bars: stateBars(counts) });
    },
  };
}

function row({ kind, queued, processing, oldest_queued_at: oldest }, now) {
  return h(
    "tr",
    {},
    h("td", {}, h("a", { href: `/tasks?all=true&kind=${kind}&state=queued` }, kindName(kind))),
    h("td", { class: "numeric" }, number(queued)),
    h("td", { class: "numeric nowrap" }, oldest ? duration((now - Date.parse(oldest)) / 1000) : "–"),
    h("td", { class: "numeric" }, number(processing)),
  );
}

function stateBars({ counts }) {
  const of = (state) => counts.filter((one) => one.state === state).reduce((sum, one) => sum + one.count, 0);
  return STATES.map((state) => ({ name: stateName(state), value: of(state), href: `/tasks?all=true&state=${state}` })).filter(({ value }) => value > 0);
}
