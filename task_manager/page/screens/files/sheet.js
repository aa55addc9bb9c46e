// Tables of the first rows of a file or a result.

import { h } from "../../dom.js";

/** Cells are cut after so many characters; the whole text is their title. */
const LONGEST = 200;
const LONGEST_TITLE = 2_000;

/**
 * @param {{label: string, columns: string[], rows: string[][], isNumeric?: boolean[], heads?: Node[]}} table
 *   `heads` stand below the names of the columns
 */
export function sheet({ label, columns, rows, isNumeric = [], heads }) {
  const className = (at) => (isNumeric[at] ? "numeric" : null);
  return h(
    "div",
    { class: "table-box sheet", tabindex: "0", role: "region", "aria-label": label },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, columns.map((name, at) =>
        h("th", { class: className(at), scope: "col" }, h("div", { class: "name", title: cut(name, LONGEST_TITLE) }, cut(name, LONGEST) || "(no name)"), heads?.[at]),
      ))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((_, at) => cell(row[at] ?? "", className(at)))))),
    ),
  );
}

function cell(value, className) {
  const text = String(value);
  return h("td", { class: className }, h("div", { class: "name", title: text.length > 24 ? cut(text, LONGEST_TITLE) : null }, cut(text, LONGEST)));
}

function cut(text, length) {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
