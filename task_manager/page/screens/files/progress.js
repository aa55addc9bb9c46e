// How far a file is: one bar from the first byte to the result, and the same in words.

import { h, replace } from "../../dom.js";
import { amount, bytes, count, duration, number, rate, rejectedSoFar } from "../../format.js";
import { icon } from "../../icons.js";
import { phaseOf } from "./jobs.js";

/** Phases before the task is queued. */
const UPLOADING = ["waiting", "starting", "uploading", "reconnecting", "paused", "refused", "missing", "elsewhere", "unknown", "initializing"];

const WORDS = {
  waiting: ["queued", "queued", "Waiting"],
  starting: ["initializing", "processing-still", "Starting"],
  uploading: ["initializing", "processing-still", "Uploading"],
  reconnecting: ["warning", "stopped", "Reconnecting"],
  paused: ["stopped", "stopped", "Paused"],
  refused: ["failed", "failed", "Upload failed"],
  missing: ["file", "stopped", "Interrupted"],
  elsewhere: ["initializing", "queued", "Uploading in another tab"],
  unknown: ["queued", "queued", "Reading its state"],
  initializing: ["initializing", "queued", "Uploaded"],
  queued: ["queued", "queued", "Queued"],
  processing: ["processing", "processing", "Processing"],
  stopping: ["stopping", "stopping", "Stopping"],
  processed: ["processed", "processed", "Done"],
  failed: ["failed", "failed", "Failed"],
  stopped: ["stopped", "stopped", "Stopped"],
  killed: ["killed", "killed", "Killed"],
};

/** A bar with a part for the upload, the queue and the processing; `update` shows a job. */
export function progressBar() {
  const fills = ["upload", "queue", "process"].map((name) => ({ name, fill: h("div") }));
  const element = h(
    "div",
    { class: "stages", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 },
    fills.map(({ name, fill }) => h("div", { class: `progress stage-${name}` }, fill)),
  );
  const update = (job) => {
    const phase = phaseOf(job);
    const parts = partsOf(job, phase);
    fills.forEach(({ fill }, at) => {
      fill.style.setProperty("width", `${(parts[at] ?? 0) * 100}%`);
      fill.parentElement.classList.toggle("is-unknown", parts[at] === null);
    });
    const tone = phase === "processed" ? "good" : phase === "failed" || phase === "refused" ? "bad" : ["queued", "processing", "uploading", "starting", "initializing", "elsewhere"].includes(phase) ? "active" : "rest";
    element.className = `stages is-${tone}`;
    const current = UPLOADING.includes(phase) ? parts[0] : parts[2];
    if (current === null) element.removeAttribute("aria-valuenow");
    else element.setAttribute("aria-valuenow", String(Math.floor(current * 100)));
    element.setAttribute("aria-label", `${job.record.name}: ${WORDS[phase][2]}`);
  };
  return { element, update };
}

/** How full the parts are, from 0 to 1; `null` if it is not known. */
function partsOf(job, phase) {
  if (UPLOADING.includes(phase)) return [uploadedPart(job, phase), 0, 0];
  if (phase === "queued") return [1, 0, 0];
  if (phase === "processed") return [1, 1, 1];
  const { progress, started_at: startedAt } = job.task;
  const part = progress?.total ? Math.min(1, progress.done / progress.total) : null;
  if (phase === "processing") return [1, 1, part];
  return [1, startedAt ? 1 : 0, part ?? 0];
}

function uploadedPart(job, phase) {
  if (phase === "initializing") return 1;
  return job.record.size ? sentOf(job) / job.record.size : 0;
}

/** Bytes of the file that were sent, or that the server has. */
function sentOf({ upload, task }) {
  return upload ? upload.sent : task?.progress?.done ?? 0;
}

/** What happens to a job, as icon and words. */
export function statusWords(job) {
  const phase = phaseOf(job);
  const [name, colour, word] = WORDS[phase];
  const details = (DETAILS[phase] ?? (() => []))(job).filter(Boolean);
  return [h("span", { class: `state state-${colour}` }, icon(name), word), details.map((text) => h("span", { class: "detail" }, text))];
}

/** Updates an element with the words, without touching it if nothing has changed. */
export function showWords(element, job) {
  const next = h("div", {}, statusWords(job));
  if (next.innerHTML !== element.innerHTML) replace(element, ...next.childNodes);
}

const DETAILS = {
  waiting: () => ["for other uploads"],
  uploading: (job) => {
    const { sent, size, perSecond } = job.upload;
    if (sent >= size) return [bytes(size), "the server makes it durable"];
    return [percent(sent, size), `${bytes(sent)} of ${bytes(size)}`, rate(perSecond), left(size - sent, perSecond)];
  },
  reconnecting: (job) => [`${percentOf(job)} sent`, job.upload.problem.status ? job.upload.problem.message : navigator.onLine ? "it continues by itself" : "this device is offline"],
  paused: (job) => [stored(job)],
  refused: ({ upload }) => [upload.problem?.message],
  missing: (job) => [job.handle ? `continues at ${percentOf(job)} with your permission to read the file again` : `drop or choose ${job.record.name} again to continue at ${percentOf(job)}`],
  elsewhere: (job) => [percentOf(job)],
  queued: ({ task }) => [position(task)],
  processing: ({ task }) => {
    const { progress, attempt } = task;
    const again = attempt > 1 && `attempt ${attempt}`;
    if (!progress) return [again];
    const { done, total, unit, per_second: perSecond } = progress;
    const rejectedRows = rejectedSoFar(progress);
    if (!total) return [amount(done, unit), rate(perSecond, unit), rejectedRows, again];
    return [percent(done, total), `${amount(done, unit)} of ${amount(total, unit)}`, rate(perSecond, unit), left(total - done, perSecond), rejectedRows, again];
  },
  processed: ({ task }) => [...results(task), task.started_at && `in ${duration(between(task.started_at, task.finished_at))}`],
  failed: ({ task }) => [task.error?.title],
  stopped: () => ["its data was rolled back"],
  killed: () => ["its data was kept"],
};

function results({ kind, result }) {
  if (!result) return [];
  switch (kind) {
    case "csv_aggregation":
      return [`${count(result.rows_read, "row")} in ${count(result.groups, "group")}`, rejected(result.rows_rejected)];
    case "data_upload":
      return [`${count(result.rows_loaded, "row")} loaded`, rejected(result.rows_rejected)];
    case "csv_preview":
      return [count(result.row_count, "row"), count(result.column_count, "column")];
    case "file_statistics":
      return result.lines === null ? [result.content_type] : [count(result.lines, "line"), count(result.words, "word")];
    default:
      return [];
  }
}

const rejected = (rows) => rows > 0 && `${count(rows, "row")} rejected`;

const percent = (done, total) => `${done >= total ? 100 : Math.floor((done / total) * 100)} %`;

const percentOf = (job) => (job.record.size ? percent(sentOf(job), job.record.size) : "0 %");

const stored = (job) => `${percentOf(job)} has arrived`;

function left(rest, perSecond) {
  if (!perSecond) return null;
  const seconds = Math.max(1, Math.ceil(rest / perSecond));
  return `${seconds < 60 ? `${seconds} s` : duration(seconds)} left`;
}

const between = (from, to) => (new Date(to) - new Date(from)) / 1000;

function position({ queue_position: at, queue_position_over: over }) {
  if (over) return `more than ${number(over)} before it`;
  if (!at) return null;
  return at === 1 ? "next in its queue" : `number ${number(at)} in its queue`;
}
