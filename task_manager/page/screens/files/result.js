// What a row shows below it: the result, the error, or what the task was given.

import { h, replace } from "../../dom.js";
import { bytes, count, duration, number, shortId, time } from "../../format.js";
import { get, newKey, send } from "../../http.js";
import { icon } from "../../icons.js";
import { problemBox, toastProblem } from "../../notices.js";
import { figure } from "../../sections.js";
import { isViewer } from "../../session.js";
import { addAgain } from "./jobs.js";
import { sheet, sheetHeight } from "./sheet.js";
import { sumsPanel } from "./sums.js";

const SHOWN_ROWS = 20;

/** The details of a job in a phase, and a function that ends what they load. */
export function detailsOf(job, phase) {
  const controller = new AbortController();
  const element = h("div", { class: "stack" });
  if (phase === "processed") showResult(element, job, controller.signal);
  else if (phase === "failed" && job.task.error) showError(element, job);
  else if (phase === "refused" && job.upload.problem) replace(element, problemBox(job.upload.problem));
  else replace(element, facts(job));
  return { element, stop: () => controller.abort() };
}

function showResult(element, job, signal) {
  const { task } = job;
  const show = {
    csv_aggregation: sumsPanel,
    data_upload: loadedPanel,
    csv_preview: previewPanel,
    file_statistics: statisticsPanel,
  }[task.kind];
  replace(element, resultFigures(job), show?.(job, signal), links(job));
}

/** The numbers of a result, as a line of figures. */
function resultFigures({ task }) {
  const { result, kind } = task;
  if (!result) return null;
  const pairs = {
    csv_aggregation: () => [["Rows", number(result.rows_read)], ["Groups", number(result.groups)], ["Rejected", number(result.rows_rejected)], ["Result", bytes(result.output_size)]],
    data_upload: () => [["Loaded", number(result.rows_loaded)], ["Rejected", number(result.rows_rejected)]],
    csv_preview: () => [["Rows", number(result.row_count)], ["Columns", number(result.column_count)], ["Irregular rows", number(result.irregular_row_count)]],
    file_statistics: () => [["Lines", number(result.lines)], ["Words", number(result.words)], ["Characters", number(result.characters)]],
  }[kind]?.() ?? [];
  const seconds = (new Date(task.finished_at) - new Date(task.started_at)) / 1000;
  if (task.started_at) pairs.push(["Time", duration(seconds)]);
  return h("dl", { class: "figures" }, pairs.map(([name, value]) => figure(name, value)));
}

function links({ record, task }) {
  const rejectedCsv = task.kind === "csv_aggregation";
  return h(
    "div",
    { class: "row" },
    task.links.rejected && rejectedCsv && h("a", { class: "button", href: task.links.rejected, download: true }, icon("download"), "Download the rejected rows"),
    h("a", { class: "button", href: `/tasks/${record.taskId}` }, "Show the task"),
  );
}

// --- Kinds -------------------------------------------------------------------------------------

function loadedPanel({ task }, signal) {
  const rows = h("div", { style: { "min-height": sheetHeight(Math.min(task.result.rows_loaded, SHOWN_ROWS)) } });
  const rejected = h("div");
  get(`/v1/data_uploads/${task.task_id}/rows`, { page_size: SHOWN_ROWS }, { signal })
    .then(({ items }) => replace(rows, sheet({ label: "The first loaded rows", columns: ["name", "email"], rows: items.map(({ name, email }) => [name, email]) })))
    .catch((problem) => showProblem(rows, problem));
  if (task.links.rejected) {
    get(task.links.rejected, { page_size: SHOWN_ROWS }, { signal })
      .then(({ items }) => replace(rejected, h("h3", {}, "Rejected rows"), sheet({
        label: "The first rejected rows",
        columns: ["Line", "Column", "Value", "Reason"],
        rows: items.map(({ line, column, value, reason }) => [number(line), column ?? "", value ?? "", reason]),
        isNumeric: [true],
        isList: true,
      })))
      .catch((problem) => showProblem(rejected, problem));
  }
  return [h("h3", {}, "Loaded rows"), rows, rejected];
}

function previewPanel({ task }) {
  const { columns, rows } = task.result;
  return sheet({
    label: "The first rows",
    columns: columns.map(({ name }) => name),
    rows: rows.slice(0, SHOWN_ROWS),
    isNumeric: columns.map(({ type }) => type === "integer" || type === "decimal"),
    heads: columns.map(({ type, empty_count: empty }) => h("div", { class: "column-type" }, type, empty > 0 && `, ${number(empty)} empty`)),
  });
}

function statisticsPanel({ task }) {
  const { content_type: type, encoding, sha256, size } = task.result;
  const pairs = [["Content type", type], ["Encoding", encoding], ["Size", bytes(size)], ["SHA-256", h("code", { class: "wrap" }, sha256)]];
  return [factList(pairs), h("p", {}, h("a", { href: "/statistics" }, "Statistics of all your files"))];
}

function showProblem(element, problem) {
  if (problem.name !== "AbortError") replace(element, problemBox(problem));
}

// --- Errors ------------------------------------------------------------------------------------

function showError(element, job) {
  const { error, links: can } = job.task;
  const { errors = [], error_count: total } = error;
  // What is wrong in a file is wrong again.
  const isRepeatable = can.resume && error.status !== 422 && !isViewer();
  const hasLines = errors.some(({ line }) => line);
  const columns = hasLines ? ["Line", "Column", "Field", "Reason"] : ["Field", "Reason"];
  const rowOf = ({ line, column, field, reason }) => (hasLines ? [number(line), number(column), field ?? "", reason] : [field ?? "", reason]);
  replace(
    element,
    h("div", { class: "problem" }, icon("warning"), h("div", {}, h("strong", {}, error.title), error.detail !== error.title && h("p", {}, error.detail), fix(job))),
    errors.length > 0 && sheet({ label: "The errors", columns, rows: errors.map(rowOf), isNumeric: hasLines ? [true, true] : [], isList: true }),
    total > errors.length && h("p", { class: "soft small" }, `${number(total - errors.length)} more like these.`),
    h("div", { class: "row" }, h("a", { class: "button", href: `/tasks/${job.record.taskId}` }, "Show the task"), isRepeatable && resumeButton(job)),
  );
}

function resumeButton({ task }) {
  return h("button", { type: "button", onclick: () => send("POST", task.links.resume).catch(toastProblem) }, icon("again"), "Try again");
}

/** The button that repairs the usual error. */
function fix(job) {
  const { error, links: can } = job.task;
  if (error.code !== "bad_rows" || !can.run_again || isViewer()) return null;
  const key = newKey();
  const run = async (event) => {
    event.target.disabled = true;
    try {
      const parameters = { on_bad_row: "skip" };
      addAgain(job, await send("POST", can.run_again, { json: { parameters }, key }), parameters).opensAtEnd = true;
    } catch (problem) {
      event.target.disabled = false;
      toastProblem(problem);
    }
  };
  return h("button", { class: "primary", type: "button", onclick: run }, icon("again"), "Run again and skip invalid rows");
}

// --- Facts -------------------------------------------------------------------------------------

function facts({ record, task }) {
  const parameters = Object.entries(record.parameters).map(([name, value]) => [name, h("span", { class: "wrap" }, [value].flat().join(", "))]);
  return factList([
    ["Size", `${bytes(record.size)} (${count(record.size, "byte")})`],
    ...(parameters.length ? parameters : [["Parameters", "the defaults"]]),
    ["Added", time(record.addedAt)],
    record.taskId && ["Task", h("a", { href: `/tasks/${record.taskId}`, title: record.taskId }, shortId(record.taskId))],
    task?.queued_at && ["Queued", time(task.queued_at)],
    task?.started_at && ["Started", time(task.started_at)],
  ]);
}

function factList(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
