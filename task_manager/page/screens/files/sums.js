// The result of an aggregation: its first rows or its largest sums, and the largest groups over time.

import { h, replace } from "../../dom.js";
import { count, number } from "../../format.js";
import { get } from "../../http.js";
import { problemBox } from "../../notices.js";
import { sheet, sheetHeight } from "./sheet.js";

const SHOWN_ROWS = 20;
const SHOWN_GROUPS = 5;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** The table and the chart of a job's result. */
export function sumsPanel({ record, task }, signal) {
  const table = h("div", { style: { "min-height": sheetHeight(Math.min(task.result.groups, SHOWN_ROWS)) } });
  const chart = h("div", { class: "series" });
  const order = h("select", { "aria-label": "Which rows of the result", onchange: () => showRows() }, h("option", { value: "" }, "First rows"));
  const more = h("p", { class: "soft small" });
  const sums = record.parameters.sum?.length ?? 1;

  async function showRows() {
    try {
      const { columns, rows, more: hasMore } = await get(`/v1/data_processor/preview/${task.task_id}`, { sort: order.value, limit: SHOWN_ROWS }, { signal });
      const groups = columns.length - sums;
      replace(table, sheet({ label: "Rows of the result", columns, rows: rows.map((row) => row.map((value, at) => (at < groups ? value : grouped(value)))), isNumeric: columns.map((_, at) => at >= groups) }));
      replace(more, hasMore && `${number(rows.length)} of ${count(task.result.groups, "row")}.`);
      if (order.options.length > 1) return;
      order.append(...columns.slice(groups).map((name) => h("option", { value: `-${name}` }, `Largest ${name}`)));
      // Only groups that end with a day are a series.
      if (groups > 0 && rows.length && rows.every((row) => DAY.test(row[groups - 1]))) showSeries();
    } catch (problem) {
      if (problem.name !== "AbortError") replace(table, problemBox(problem, showRows));
    }
  }

  async function showSeries() {
    try {
      const [{ lineChart }, series] = await Promise.all([
        import("../../charts.js"),
        get(`/v1/data_processor/series/${task.task_id}`, { top: SHOWN_GROUPS }, { signal }),
      ]);
      const { group_column: groupColumn, value_column: valueColumn, groups, rest } = series;
      const label = groupColumn ? `${valueColumn} over time, top ${number(groups.length)} by ${groupColumn}` : `${valueColumn} over time`;
      replace(
        chart,
        lineChart({ label, series: groups.map(({ name, points }) => ({ name: name || valueColumn, points })) }),
        rest !== 0 && h("p", { class: "soft small" }, `All others: ${number(rest)}.`),
      );
    } catch (problem) {
      if (problem.name === "AbortError") return;
      replace(chart, problem.code ? problemBox(problem, showSeries) : null);
    }
  }

  showRows();
  return h("div", { class: "sums" }, h("div", { class: "stack" }, h("div", { class: "spread" }, h("h3", {}, "Result"), order), table, more), chart);
}

/** `1,234` for a whole number, as far as numbers are exact here. */
function grouped(value) {
  const parsed = Number(value);
  return Number.isSafeInteger(parsed) && value !== "" ? number(parsed) : value;
}
