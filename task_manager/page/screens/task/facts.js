// The parameters and the result of the task, as facts.

import { DELIMITERS, ENCODINGS } from "../../dialect.js";
import { h } from "../../dom.js";
import { bytes, count, duration, number, time } from "../../format.js";
import { outcomeWords } from "../tasks/words.js";
import { createPart, simpleTable } from "./part.js";

/** What fields are called, where their name says too little. */
const LABELS = {
  on_bad_row: "Invalid rows", group_by: "Group by", sum: "Sum", total_header: "Name of the sum", memory_limit: "Memory limit",
  output_size: "Size of the result", rows_read: "Rows read", rows_rejected: "Rows rejected", rows_loaded: "Rows loaded",
  resumed_from_row: "Resumed from row", sha256: "SHA-256", irregular_row_count: "Irregular rows", row_count: "Rows",
  column_count: "Columns", content_type: "Content type", not_possible: "Not possible", delimiter: "Separated by", decimal: "Decimals",
};
const WORDS = { on_bad_row: { fail: "Fail the task", skip: "Leave out" }, delimiter: DELIMITERS, encoding: ENCODINGS, thousands: { " ": "Blank" } };
const OF_BYTES = ["output_size", "size"];
/** Fields that come first. */
const ORDER = ["group_by", "sum", "total_header", "on_bad_row"];
/** Fields that are said elsewhere on the screen. */
const KNOWN = ["task_id", "file_name", "created_at"];

/** Screens that show the results of many tasks of a kind. */
const SCREENS = {
  file_statistics: ["/statistics", "Statistics of all files"],
  message_validation: ["/messages", "All messages"],
  user_event: ["/events", "All events"],
  report_email: ["/events", "The schedule"],
};

/** The result and the parameters, beside each other. */
export function createFacts() {
  return createPart(
    ({ state, result, parameters, attempt, failures, duration: seconds, finished_at: end, kind }) => [state, result, parameters, attempt, failures, end && seconds, end, kind],
    (task) => h(
      "div",
      { class: "cards" },
      task.result && card(task.state === "processed" ? "Result" : "Result so far", [...facts({ ...task.result, ...task.result.dialect }), ...seeAlso(task.kind)], outcomeWords(task)),
      task.parameters && card("Parameters", facts(task.parameters), "None."),
      card("Run", [
        ["Attempts", number(task.attempt)],
        task.failures > 0 && ["Failures", `${number(task.failures)} of at most ${number(task.max_attempts)}`],
        ["Queued", time(task.queued_at)],
        ["Started", time(task.started_at)],
        ["Ended", time(task.finished_at)],
        task.finished_at && ["Duration", duration(task.duration)],
      ].filter(Boolean)),
    ),
  );
}

/** Tasks that a bulk action could not act on. */
export function createNotPossible() {
  return createPart(
    ({ kind, result }) => kind === "bulk_action" && result?.errors,
    ({ kind, result }) => kind === "bulk_action" && result?.errors?.length > 0 && h(
      "section",
      { class: "stack", "aria-label": "Not possible" },
      h("h2", {}, `Not possible for ${count(result.not_possible, "task")}`),
      simpleTable("Tasks that stayed as they were", ["Task", "State", "Reason"], result.errors.slice(0, 100).map((error) => [
        h("a", { href: `/tasks/${error.task_id}`, class: "mono" }, error.task_id), error.state, error.reason,
      ])),
      result.not_possible > 100 && h("p", { class: "soft small" }, `The first 100 of ${number(result.not_possible)}.`),
    ),
  );
}

function card(title, pairs, otherwise) {
  return h(
    "section",
    { class: "card" },
    h("h2", {}, title),
    pairs?.length > 0
      ? h("dl", { class: "facts" }, pairs.map(([label, value]) => [h("dt", {}, label), h("dd", { class: "wrap" }, value)]))
      : h("p", { class: "soft" }, otherwise),
  );
}

function facts(fields) {
  return Object.entries(fields)
    .sort(([one], [other]) => place(one) - place(other))
    .filter(([name, value]) => value !== null && value !== undefined && !KNOWN.includes(name) && !hasParts(value))
    .map(([name, value]) => [label(name), words(name, value)]);
}

/** Fields without a place of their own follow in the order of the API. */
function place(name) {
  const at = ORDER.indexOf(name);
  return at < 0 ? ORDER.length : at;
}

function seeAlso(kind) {
  return kind in SCREENS ? [["See also", h("a", { href: SCREENS[kind][0] }, SCREENS[kind][1])]] : [];
}

/** Lists of objects and of rows have tables of their own. */
function hasParts(value) {
  return Array.isArray(value) ? value.some((item) => typeof item === "object") : typeof value === "object";
}

function label(name) {
  return LABELS[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
}

function bytesWords(value) {
  return value < 1024 ? bytes(value) : `${bytes(value)} (${number(value)} B)`;
}

function words(name, value) {
  if (Array.isArray(value)) return value.length === 0 ? "–" : value.join(", ");
  if (typeof value === "number") return OF_BYTES.includes(name) ? bytesWords(value) : number(value);
  if (typeof value === "boolean") return value ? "Yes" : "No";
  return WORDS[name]?.[value] ?? String(value);
}
