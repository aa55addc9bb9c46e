// Tables of the first rows of a file or a result.

import { h } from "../../dom.js";

const HIGHEST = 296;
const HEAD_HEIGHT = 30;
const ROW_HEIGHT = 29;
/** Cells are cut after so many characters; the whole text is their title. */
const LONGEST = 200;
const LONGEST_TITLE = 2_000;

/**
 * @param {{label: string, columns: string[], rows: string[][], isNumeric?: boolean[], heads?: Node[],
 *   isList?: boolean}} table `heads` stand below the names of the columns; the last column of a list is a sentence
 */
export function sheet({ label, columns, rows, isNumeric = [], heads, isList }) {
  const className = (at) => (isNumeric[at] ? "numeric" : null);
  return h(
    "div",
    { class: isList ? "table-box sheet is-list" : "table-box sheet", tabindex: "0", role: "region", "aria-label": label },
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

/** The height of so many rows, to keep their space while they are loaded. */
export function sheetHeight(rows) {
  return `${Math.min(HIGHEST, HEAD_HEIGHT + rows * ROW_HEIGHT)}px`;
}

function cell(value, className) {
  const text = String(value);
  return h("td", { class: className }, h("div", { class: "name", title: text.length > 24 ? cut(text, LONGEST_TITLE) : null }, cut(text, LONGEST)));
}

function cut(text, length) {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
