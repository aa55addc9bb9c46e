// The result as a table of its first or largest rows, and its sums over time as a chart.

import { h, replace } from "../../dom.js";
import { number } from "../../format.js";
import { get } from "../../http.js";
import { problemBox } from "../../notices.js";
import { simpleTable } from "./part.js";

const ROWS = 20;
const SERIES = 5;

/** Shows the result of a processed aggregation once it exists. */
export function createPreview() {
  const element = h("div", { class: "stack preview is-loading", hidden: true });
  const request = new AbortController();
  let isShown = false;

  function update(task) {
    if (isShown || !task.links.preview) return;
    isShown = true;
    element.hidden = false;
    // Both appear together, and until then their place is kept, so that nothing jumps twice.
    Promise.all([chartOf(task, request.signal), rowsOf(task, request.signal)]).then((sections) => {
      replace(element, sections);
      element.classList.remove("is-loading");
    });
  }

  return { element, update, destroy: () => request.abort() };
}

async function chartOf(task, signal) {
  let series;
  let charts;
  try {
    [series, charts] = await Promise.all([
      get(`/v1/data_processor/series/${task.task_id}`, { top: SERIES }, { signal }),
      import("../../charts.js"),
    ]);
  } catch {
    // A result without dates has no chart (`no_series`), and the table shows the same rows.
    return null;
  }
  if (series.groups.length === 0) return null;
  const { group_column: group, value_column: value, groups, rest } = series;
  return h(
    "section",
    { class: "card stack", "aria-label": "Over time" },
    h("h2", {}, `${value} over time`),
    charts.lineChart({ series: groups.map(({ name, points }) => ({ name, points })), label: `Largest by ${group}`, height: 240 }),
    rest > 0 && h("p", { class: "soft small" }, `All others together: ${number(rest)}.`),
  );
}

async function rowsOf(task, signal) {
  let sort = "";
  const table = h("div", { class: "part" });
  const choices = h("span", { class: "row" });
  await read();
  return h("section", { class: "stack", "aria-labelledby": "preview-title" }, h("div", { class: "spread" }, h("h2", { id: "preview-title" }, "Preview of the result"), choices), table);

  async function read() {
    table.setAttribute("aria-busy", "true");
    try {
      show(await get(task.links.preview, { sort, limit: ROWS }, { signal }));
    } catch (problem) {
      if (problem.name !== "AbortError") replace(table, problemBox(problem, read));
    }
    table.removeAttribute("aria-busy");
  }

  function show({ columns, rows, more }) {
    const sums = task.parameters?.sum?.length ?? 1;
    const numeric = columns.map((_, at) => at).slice(-sums);
    replace(
      table,
      rows.length === 0
        ? h("p", { class: "card soft" }, "The result has no rows.")
        : simpleTable("Preview of the result", columns, rows.map((row) => row.map((value, at) => (numeric.includes(at) ? grouped(value) : h("span", { class: "name cell-text", title: value }, value)))), numeric),
      more && h("p", { class: "soft small" }, `${sort ? "The largest" : "The first"} ${number(rows.length)} rows of ${number(task.result?.groups)}. Download the result for all of them.`),
    );
    if (choices.firstChild) return;
    const select = h(
      "select",
      { "aria-label": "Order of the rows", onchange: () => { sort = select.value; read(); } },
      h("option", { value: "" }, "In the order of the result"),
      numeric.map((at) => h("option", { value: `-${columns[at]}` }, `Largest ${columns[at]} first`)),
    );
    choices.append(select);
  }
}

/** Sums may be larger than the numbers of JavaScript are exact. */
function grouped(value) {
  return /^-?\d+$/.test(value) ? number(BigInt(value)) : value;
}
