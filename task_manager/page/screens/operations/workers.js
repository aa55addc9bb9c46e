// The workers: what they run, and when they last reported.

import { h } from "../../dom.js";
import { count, duration, kindName, number, time } from "../../format.js";
import { icon } from "../../icons.js";
import { refill, tableBox } from "../../sections.js";

/** A worker that reported this many seconds ago is silent, although it may still be there. */
const SILENT = 10;

/** The table of the workers. */
export function workers() {
  const body = h("tbody");
  const head = h("h2", {}, "Workers");
  const table = tableBox("Workers", ["Worker", "State", "Running", "Kinds", "Version", "Started"], body);
  const element = h("section", { class: "stack" }, head, table);
  return {
    element,
    show({ workers: all, now }) {
      const online = all.filter((worker) => worker.online).length;
      head.textContent = all.length ? `Workers: ${number(online)} of ${number(all.length)} online` : "Workers";
      refill(body, all.length ? all.map((worker) => row(worker, now)) : h("tr", {}, h("td", { colspan: 6, class: "soft" }, "No worker has reported within the last day: tasks wait. Start one with ", h("code", {}, "taskctl worker"), ".")));
    },
  };
}

function row(worker, now) {
  return h(
    "tr",
    {},
    h("td", { class: "cell-name" }, h("span", { class: "name", title: `${worker.name} (${worker.id})` }, worker.name)),
    h("td", { class: "nowrap" }, stateOf(worker, Math.max(0, (now - Date.parse(worker.seen_at)) / 1000))),
    h("td", { class: "nowrap" }, worker.online && load(worker)),
    h("td", {}, kinds(worker.kinds)),
    h("td", { class: "nowrap" }, worker.version),
    h("td", { class: "nowrap" }, time(worker.started_at)),
  );
}

function stateOf({ online, draining }, silent) {
  const tag = (state, symbol, text) => h("span", { class: `state state-${state}` }, icon(symbol), text);
  if (!online) return tag("failed", "failed", `Away, silent for ${duration(silent)}`);
  if (silent >= SILENT) return tag("stopped", "warning", `Silent for ${duration(silent)}`);
  if (draining) return tag("stopped", "stopped", "Draining: takes no new tasks");
  return tag("processed", "processed", "Online");
}

function load({ running, slots }) {
  if (!slots) return number(running);
  const share = Math.min(1, (running ?? 0) / slots);
  return h(
    "span",
    { class: "load" },
    h("span", { class: "progress", "aria-hidden": "true" }, h("div", { style: { width: `${share * 100}%` } })),
    `${number(running)} of ${count(slots, "slot")}`,
  );
}

function kinds(names) {
  const all = names.map(kindName).join(", ");
  return h("span", { class: "kinds soft", title: all }, all);
}
