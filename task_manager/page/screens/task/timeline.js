// The life of the task to scale: its upload, waits in the queue, attempts and rollback.

import { h, replace, svg } from "../../dom.js";
import { duration, exactTime, isEnded, shortId } from "../../format.js";
import { get } from "../../http.js";
import { withCode } from "./part.js";

const WIDTH = 1_000;
const HEIGHT = 26;
/** The shortest phase is still drawn as wide as this, of `WIDTH`. */
const MIN_WIDTH = 4;

const PHASES = { initializing: "Upload", queued: "In the queue", attempt: "Attempt", stopping: "Rollback" };

/** What an attempt came to, as word and class. */
const OUTCOMES = {
  completed: ["completed", "good"],
  failed: ["failed", "bad"],
  retry: ["to be tried again", "warn"],
  released: ["handed back by the worker", "warn"],
  lease_lost: ["lost", "bad"],
  stopped: ["stopped", "warn"],
  killed: ["killed", "other"],
};

/** @param {() => number} now the time of the server in milliseconds */
export function createTimeline(now) {
  const bar = h("div", { class: "timeline" });
  const table = h("div");
  const element = h("section", { class: "card stack timeline-card", "aria-labelledby": "timeline-title", hidden: true }, h("h2", { id: "timeline-title" }, "Timeline"), bar, table);
  let phases = [];
  let shown = null;
  let request = new AbortController();

  /** Reads the phases again if the task has come to another one. */
  async function update(task) {
    const key = JSON.stringify([task.state, task.attempt, task.failures, task.finished_at]);
    if (key === shown || !task.links.timeline) return;
    shown = key;
    request.abort();
    request = new AbortController();
    try {
      ({ phases } = await get(task.links.timeline, {}, { signal: request.signal }));
    } catch {
      // The rest of the screen says what is wrong, if anything is.
      return;
    }
    element.hidden = phases.length === 0;
    show();
  }

  function show() {
    const end = phases.every(({ to }) => to) ? Math.max(...phases.map(({ to }) => Date.parse(to))) : Math.max(now(), ...phases.map(({ to, from }) => Date.parse(to ?? from)));
    const start = Date.parse(phases[0].from);
    const total = Math.max(end - start, 1);
    replace(bar, drawing(phases, start, total, end), axis(total));
    replace(table, phaseTable(phases, end));
  }

  return {
    element,
    update,
    /** Lets the running phase grow. */
    tick(task) {
      if (phases.some(({ to }) => !to) && !isEnded(task.state)) show();
    },
    destroy: () => request.abort(),
  };
}

function drawing(phases, start, total, end) {
  const spans = phases.map((phase) => {
    const from = ((Date.parse(phase.from) - start) / total) * WIDTH;
    const to = (((phase.to ? Date.parse(phase.to) : end) - start) / total) * WIDTH;
    return { phase, x: Math.min(from, WIDTH - MIN_WIDTH), width: Math.max(to - from, MIN_WIDTH) };
  });
  return svg(
    "svg",
    { class: "timeline-svg", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "The phases of the task to scale; the table below has the same." },
    // Short phases last, so that long ones do not cover them.
    spans.sort((a, b) => b.width - a.width).map(({ phase, x, width }) =>
      svg("rect", { class: classOf(phase), x, width, y: 0, height: HEIGHT }, svg("title", {}, tooltip(phase, end))),
    ),
  );
}

function classOf({ phase, outcome, to }) {
  if (phase !== "attempt") return `phase phase-${phase}`;
  return `phase phase-attempt ${to ? OUTCOMES[outcome]?.[1] ?? "" : "is-running"}`;
}

function nameOf({ phase, attempt }) {
  return phase === "attempt" ? `Attempt ${attempt}` : PHASES[phase] ?? phase;
}

function secondsOf({ from, to }, end) {
  return ((to ? Date.parse(to) : end) - Date.parse(from)) / 1000;
}

function tooltip(phase, end) {
  return [
    `${nameOf(phase)}: ${duration(secondsOf(phase, end))}`,
    outcomeOf(phase),
    phase.worker && `Worker ${phase.worker.name ?? phase.worker.worker_id}`,
    phase.reason,
    `From ${exactTime(phase.from)}`,
    phase.to ? `To ${exactTime(phase.to)}` : "Until now",
  ].filter(Boolean).join("\n");
}

function outcomeOf({ phase, outcome, to }) {
  if (phase !== "attempt") return to ? "" : "now";
  return to ? OUTCOMES[outcome]?.[0] ?? "" : "running";
}

function axis(total) {
  return h("div", { class: "timeline-axis soft small", "aria-hidden": "true" }, h("span", {}, "0"), h("span", {}, duration(total / 2_000)), h("span", {}, duration(total / 1_000)));
}

function workerName({ name, worker_id: id }) {
  return h("span", { class: "name", title: name ?? id }, name ?? shortId(id));
}

function phaseTable(phases, end) {
  const rows = phases.map((phase) => h(
    "tr",
    {},
    h("td", { class: "nowrap" }, h("span", { class: `swatch ${classOf(phase)}` }), nameOf(phase)),
    h("td", { class: "numeric nowrap" }, duration(secondsOf(phase, end))),
    h("td", { class: "wrap" }, withCode([outcomeOf(phase), phase.reason].filter(Boolean).join(": "))),
    h("td", { class: "worker" }, phase.worker && workerName(phase.worker)),
    h("td", { class: "nowrap soft" }, exactTime(phase.from)),
  ));
  return h(
    "div",
    { class: "table-scroll", tabindex: 0, role: "region", "aria-label": "Phases" },
    h(
      "table",
      { class: "phases" },
      h("thead", {}, h("tr", {}, ["Phase", "Duration", "Outcome", "Worker", "From"].map((name, at) => h("th", { scope: "col", class: at === 1 ? "numeric" : null }, name)))),
      h("tbody", {}, rows),
    ),
  );
}
