// The workers: what they run, and when they last reported.

import { h } from "../../dom.js";
import { count, duration, exactTime, kindName, number, time } from "../../format.js";
import { refill, tableBox } from "../../sections.js";
import { badge } from "../../states.js";

/** A worker without a report for so many seconds is called silent: idle ones report every 10 seconds. */
const SILENT = 15;

/** The table of the workers. */
export function workers() {
  const body = h("tbody");
  const head = h("h2", {}, "Workers");
  const table = tableBox("Workers", ["Worker", "State", "Running", "Kinds", "Version", "Last report", "Started"], body);
  const element = h("section", { class: "stack" }, head, table);
  return {
    element,
    show({ workers: all, now }) {
      const online = all.filter((worker) => worker.online).length;
      head.textContent = all.length ? `Workers: ${number(online)} of ${number(all.length)} online` : "Workers";
      refill(body, all.length ? all.map((worker) => row(worker, now)) : h("tr", {}, h("td", { colspan: 7, class: "soft" }, "No worker has reported within the last day: tasks wait. Start one with ", h("code", {}, "data_processor"), ".")));
    },
  };
}

function row(worker, now) {
  const silent = Math.max(0, (now - Date.parse(worker.seen_at)) / 1000);
  return h(
    "tr",
    {},
    h("td", { class: "cell-name" }, h("span", { class: "name", title: `${worker.name} (${worker.id})` }, worker.name)),
    h("td", { class: "nowrap" }, stateOf(worker, silent)),
    h("td", { class: "nowrap" }, worker.online && load(worker)),
    h("td", {}, kinds(worker.kinds)),
    h("td", { class: "nowrap" }, worker.version),
    h("td", { class: "nowrap", title: exactTime(worker.seen_at) }, silent < 1 ? "just now" : `${duration(Math.floor(silent))} ago`),
    h("td", { class: "nowrap" }, time(worker.started_at)),
  );
}

function stateOf({ online, draining }, silent) {
  if (!online) return badge("failed", `Away, silent for ${duration(silent)}`);
  if (silent >= SILENT) return badge("stopped", `Silent for ${duration(silent)}`, "warning");
  if (draining) return badge("stopped", "Draining: takes no new tasks");
  return badge("processed", "Online");
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
