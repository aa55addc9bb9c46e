// What a task is called, and how far it is or what came of it, in words.

import { amount, bytes, count, duration, kindName, number, rate } from "../../format.js";

/** The file of a task, or its kind. */
export function taskName(task) {
  return task.file_name ?? kindName(task.kind);
}

/** The share that is done, from 0 to 1; `null` if it is not known. */
export function share({ progress }) {
  return progress?.total ? Math.min(1, progress.done / progress.total) : null;
}

/** `45 %, 12 MiB/s, 20 s left`. */
export function progressWords(task) {
  const { progress } = task;
  if (!progress) return task.state === "processing" ? "Starting" : "";
  const done = share(task);
  return [
    done === null ? amount(progress.done, progress.unit) : `${Math.floor(done * 100)} %`,
    rate(progress.per_second, progress.unit),
    remaining(task),
  ].filter(Boolean).join(" · ");
}

/** `20 s left`, if that can be known. */
export function remaining({ progress }) {
  if (!progress?.total || !progress.per_second) return "";
  return `${duration((progress.total - progress.done) / progress.per_second)} left`;
}

/** What a task waits for, does or has done, in a few words. */
export function outcomeWords(task) {
  switch (task.state) {
    case "initializing": return task.size ? `${bytes(task.size)} arrived` : "The file is arriving";
    case "queued": return queueWords(task);
    case "processing": return progressWords(task);
    case "stopping": return "Rolling back";
    case "stopped": return "Rolled back";
    case "killed": return "Ended at its last checkpoint";
    case "failed": return task.error?.title ?? "";
    default: return resultWords(task);
  }
}

function queueWords(task) {
  if (task.queue_position_over) return `Waiting behind more than ${number(task.queue_position_over)}`;
  if (task.queue_position === 1) return "Next of its kind";
  return task.queue_position ? `Number ${number(task.queue_position)} in the queue` : "Waiting";
}

const RESULTS = {
  csv_aggregation: (result) => sentence(`${count(result.groups, "group")} from ${count(result.rows_read, "row")}`, rejected(result)),
  csv_preview: (result) => `${count(result.column_count, "column")}, ${count(result.row_count, "row")}`,
  data_upload: (result) => sentence(`${count(result.rows_loaded, "row")} loaded`, rejected(result)),
  file_statistics: (result) =>
    result.lines === null || result.lines === undefined
      ? result.content_type
      : `${count(result.lines, "line")}, ${count(result.words, "word")}`,
  message_validation: (result) => `${result.category}, after ${count(result.draws, "draw")}`,
  user_event: (result) => (result.recorded ? "Recorded" : "Known already"),
  report_email: (result) => (Array.isArray(result.to) ? `Sent to ${count(result.to.length, "address", "addresses")}` : "Sent"),
  bulk_action: (result) => sentence(`${number(result.done)} of ${count(result.matched, "task")}`, result.not_possible > 0 && `${number(result.not_possible)} not possible`),
};

function resultWords({ kind, result }) {
  if (!result) return "Done";
  return RESULTS[kind]?.(result) ?? "Done";
}

function rejected({ rows_rejected: rows }) {
  return rows > 0 && `${number(rows)} rejected`;
}

function sentence(...parts) {
  return parts.filter(Boolean).join(", ");
}
