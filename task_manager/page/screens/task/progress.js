// How far the task is, and whether its worker reports.

import { h } from "../../dom.js";
import { amount, duration, isEnded, number, rate, rejectedSoFar } from "../../format.js";
import { outcomeWords, remaining, share } from "../tasks/words.js";
import { createPart } from "./part.js";

/** After so many seconds without a heartbeat the worker is called silent; it sends one each second. */
const SILENT = 10;

/** @param {() => number} now the time of the server in milliseconds */
export function createProgress(now) {
  return createPart(
    (task) => !isEnded(task.state) && [task.state, task.progress, task.queue_position, silence(task, now())],
    (task) => {
      if (isEnded(task.state)) return null;
      const done = share(task);
      const silent = silence(task, now());
      return h(
        "section",
        { class: "card stack", "aria-label": "Progress" },
        h("div", { class: "spread" }, h("strong", { class: "progress-share" }, done === null ? outcomeWords(task) : `${Math.floor(done * 100)} %`), h("span", { class: "soft" }, details(task, done))),
        done !== null && h("div", { class: "progress", role: "progressbar", "aria-label": "Progress", "aria-valuenow": Math.floor(done * 100), "aria-valuemin": 0, "aria-valuemax": 100 }, h("div", { style: { width: `${done * 100}%` } })),
        silent && h("p", { class: "note warn", role: "status" }, `Worker silent for ${duration(silent)}. After 30 s without a report, another worker takes the task over.`),
      );
    },
  );
}

function silence({ state, heartbeat_at: heartbeatAt }, now) {
  if (state !== "processing" || !heartbeatAt) return null;
  const seconds = Math.floor((now - Date.parse(heartbeatAt)) / 1000);
  return seconds >= SILENT ? seconds : null;
}

function details(task, done) {
  const { state, progress, failures } = task;
  return [
    progress && done !== null && `${amount(progress.done, progress.unit)} of ${amount(progress.total, progress.unit)}`,
    state === "processing" && progress && rate(progress.per_second, progress.unit),
    state === "processing" && remaining(task),
    state === "processing" && rejectedSoFar(progress),
    failures > 0 && `failure ${number(failures)} of ${number(task.max_attempts)}`,
  ].filter(Boolean).join(" · ");
}
