// Why the task failed: the problem with the places in the file, and what can be done about it.

import { DELIMITERS, ENCODINGS, withCharacters } from "../../dialect.js";
import { h } from "../../dom.js";
import { count, number } from "../../format.js";
import { icon } from "../../icons.js";
import { reasonAgainst } from "../../states.js";
import { createPart, simpleTable, withCode } from "./part.js";

/** Errors that other columns may avoid. */
const OF_COLUMNS = ["missing_column", "repeated_column", "overflow", "invalid_parameters"];
/** Errors of the file, which the same file always has. */
const OF_FILE = ["bad_rows", "bad_header", "empty_file", "not_csv", "not_utf8", "cannot_unpack", "unpacked_too_large", "record_too_long", "missing_column", "repeated_column"];
/** Errors of machines, which may not occur again. */
const TRANSIENT = ["attempts_exhausted", "worker_lost", "internal", "read_failed", "spill_failed", "write_failed"];

/**
 * @param {{act: (action: string) => void, openForm: () => void, runWith: (parameters: object) => void}} callbacks
 */
export function createFailure(callbacks) {
  return createPart(
    ({ error, links, kind, state }) => ({ error, links, kind, state }),
    (task) => task.error && h(
      "section",
      { class: "problem failure", "aria-labelledby": "failure-title" },
      icon("warning"),
      h(
        "div",
        {},
        h("h2", { id: "failure-title" }, task.error.title),
        task.error.detail !== task.error.title && h("p", {}, withCode(sentence(task.error.detail))),
        h("div", { class: "row" }, fixes(task, callbacks)),
        places(task.error),
        h(
          "p",
          { class: "soft small" },
          h("code", {}, task.error.code), " · ",
          h("a", { href: `/tasks?state=failed&error_code=${encodeURIComponent(task.error.code)}` }, "Other tasks with this error"),
        ),
      ),
    ),
  );
}

function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

function fixes(task, { act, openForm, runWith }) {
  const { code } = task.error;
  const canRun = !reasonAgainst("run_again", task);
  const suggested = task.error.suggested_parameters ?? {};
  const fix = Object.keys(suggested).length > 0 && canRun;
  const buttons = [
    code === "bad_rows" && canRun && h("button", { class: "primary", dataset: { name: "skip" }, onclick: () => runWith({ on_bad_row: "skip" }) }, icon("again"), "Run again and skip invalid rows"),
    fix && h("button", { class: "primary", dataset: { name: "suggested" }, onclick: () => runWith(suggested) }, icon("again"), `Run again ${suggestion(suggested)}`),
    OF_COLUMNS.includes(code) && task.kind === "csv_aggregation" && !fix && canRun && h("button", { class: "primary", dataset: { name: "columns" }, onclick: openForm }, icon("again"), "Run again with other columns"),
    TRANSIENT.includes(code) && !reasonAgainst("resume", task) && h("button", { class: "primary", dataset: { name: "fix-resume" }, onclick: () => act("resume") }, icon("play"), "Resume"),
  ].filter(Boolean);
  const upload = OF_FILE.includes(code) && h("a", { class: buttons.length > 0 ? "button" : "button primary", href: "/", dataset: { name: "upload" } }, icon("upload"), "Upload a corrected file");
  return [...buttons, upload];
}

/** What the task would do differently, such as "separated by semicolons" or "as Windows-1252". */
function suggestion(parameters) {
  const words = {
    delimiter: (value) => `separated by ${DELIMITERS[withCharacters({ delimiter: value }).delimiter] ?? value}`,
    encoding: (value) => `as ${ENCODINGS[value] ?? value}`,
  };
  return Object.entries(parameters).map(([name, value]) => words[name]?.(value) ?? `with ${name}=${value}`).join(", ");
}

function places({ errors = [], error_count: total }) {
  if (errors.length === 0) return null;
  const columns = [
    ["Line", ({ line }) => number(line)],
    ["Column", ({ column }) => number(column)],
    ["Field", ({ field }) => field],
    ["Reason", ({ reason }) => withCode(reason)],
  ].filter(([name], at) => at === 3 || errors.some((error) => error[name.toLowerCase()]));
  const numeric = columns.map(([name], at) => (["Line", "Column"].includes(name) ? at : -1));
  return [
    simpleTable("Errors in the file", columns.map(([name]) => name), errors.map((error) => columns.map(([, cell]) => cell(error))), numeric, "reasons"),
    total > errors.length && h("p", { class: "soft small" }, `The first ${number(errors.length)} of ${count(total, "error")}.`),
  ];
}
