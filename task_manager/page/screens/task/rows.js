// Rows that belong to the task: rejected ones, loaded ones, and the rows of a CSV preview.

import { parse } from "../../csv_records.js";
import { h, replace } from "../../dom.js";
import { count, isEnded, number } from "../../format.js";
import { get, request as send } from "../../http.js";
import { icon } from "../../icons.js";
import { problemBox } from "../../notices.js";
import { createPart, simpleTable, withCode } from "./part.js";

const ROWS = 20;
/** Of a file of rejected rows, so many bytes are read for the first rows. */
const HEAD_BYTES = 16 * 1024;

/** While rows are added, only the first ones are read again: those that are shown do not change. */
function firstOf(rows) {
  return rows === undefined ? null : Math.min(rows, ROWS);
}

/** How many rows there are; while the task runs, the result above says it. */
function scopeOf({ state }, rows) {
  return isEnded(state) ? rows !== undefined && count(rows, "row") : "so far";
}

/** Rejected rows: the first ones, and a link to all of them. */
export function createRejected() {
  return createPart(
    ({ links, result, state }) => links.rejected && [links.rejected, firstOf(result?.rows_rejected), state],
    (task) => {
      const rejected = task.result?.rows_rejected;
      if (!task.links.rejected || rejected === 0) return null;
      const isList = task.kind === "data_upload";
      const rows = isList ? listOfRejected(task) : fileOfRejected(task);
      return section("Rejected rows", scopeOf(task, rejected), rows, !isList && h("a", { class: "button", href: task.links.rejected, download: true }, icon("download"), "Download all"));
    },
  );
}

function listOfRejected({ links }) {
  return paged("Rejected rows", links.rejected, ["Line", "Column", "Value", "Reason"], ({ line, column, value, reason }) => [number(line), column ?? "", cell(value), withCode(reason)], [0], "reasons");
}

function fileOfRejected({ links }) {
  const box = h("div", { class: "part" });
  const read = async () => {
    try {
      const response = await send(links.rejected, { headers: { Range: `bytes=0-${HEAD_BYTES - 1}` } });
      const isWhole = response.status === 200;
      const [head, ...rows] = parse(await response.text(), { delimiter: "," }, ROWS + 1, isWhole).map(({ fields }) => fields);
      if (!head || rows.length === 0) return;
      // line, column, field, value, reason
      replace(box, simpleTable("Rejected rows", ["Line", "Column", "Field", "Value", "Reason"], rows.map(([line, column, field, value, reason]) => [line, column, field, cell(value), withCode(reason ?? "")]), [0, 1], "reasons"));
    } catch (problem) {
      replace(box, problemBox(problem, read));
    }
  };
  read();
  return box;
}

/** Loaded rows, as they are in the database. */
export function createLoaded() {
  return createPart(
    ({ kind, state, result }) => kind === "data_upload" && [state, firstOf(result?.rows_loaded)],
    (task) => {
      if (task.kind !== "data_upload" || ["initializing", "queued", "stopping", "stopped"].includes(task.state)) return null;
      const path = `/v1/data_uploads/${task.task_id}/rows`;
      return section("Loaded rows", scopeOf(task, task.result?.rows_loaded), paged("Loaded rows", path, ["Row", "Name", "Email"], ({ row, name, email }) => [number(row), cell(name), cell(email)], [0]));
    },
  );
}

/** The columns and first rows of a CSV preview. */
export function createCsvPreview() {
  return createPart(
    ({ kind, result }) => kind === "csv_preview" && result,
    ({ kind, result }) => {
      if (kind !== "csv_preview" || !result?.columns?.length) return null;
      const { columns, rows } = result;
      const numeric = columns.map(({ type }, at) => (["integer", "decimal", "number"].includes(type) ? at : -1));
      return [
        section("Columns", count(result.column_count, "column"), simpleTable("Columns", ["Name", "Type", "Values", "Empty"], columns.map((column) => [cell(column.name), column.type, number(column.value_count), number(column.empty_count)]), [2, 3])),
        section("First rows", `of ${count(result.row_count, "row")}`, simpleTable("First rows", columns.map(({ name }) => name), rows.slice(0, ROWS).map((row) => row.map(cell)), numeric)),
      ];
    },
  );
}

function section(title, scope, content, action) {
  return h("section", { class: "stack", "aria-label": title }, h("div", { class: "spread" }, h("h2", {}, title, scope && h("span", { class: "soft small scope" }, scope)), action), content);
}

function cell(value) {
  return h("span", { class: "name cell-text", title: value }, value ?? "");
}

/** A table of a list of the API, with a button for further pages. */
function paged(label, path, head, cells, numeric, kind) {
  const box = h("div", { class: "stack" });
  const rows = [];
  const read = async (pageToken) => {
    try {
      const page = await get(path, { page_size: ROWS, page_token: pageToken });
      rows.push(...page.items);
      const next = page.next_page_token;
      replace(
        box,
        rows.length === 0 ? h("p", { class: "card soft" }, "None.") : simpleTable(label, head, rows.map(cells), numeric, kind),
        next && h("div", {}, h("button", { onclick: () => read(next) }, "Show more")),
      );
    } catch (problem) {
      replace(box, problemBox(problem, () => read(pageToken)));
    }
  };
  read(null);
  return box;
}
