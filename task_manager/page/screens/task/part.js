// A part of the screen that is rendered again only if what it shows has changed, so that focus, selected text
// and opened details are kept while the task goes on.

import { h, replace } from "../../dom.js";

/**
 * @param {(task: object) => unknown} keyOf what the part shows, as something that JSON can write
 * @param {(task: object) => Node|null|(Node|null)[]} render
 */
export function createPart(keyOf, render) {
  const element = h("div", { class: "part" });
  let shown;
  return {
    element,
    update(task) {
      const key = JSON.stringify(keyOf(task)) ?? "";
      if (key === shown) return;
      shown = key;
      const focused = element.contains(document.activeElement) ? document.activeElement.dataset.name : null;
      replace(element, [render(task)]);
      if (focused) element.querySelector(`[data-name="${focused}"]`)?.focus();
    },
  };
}

/** A text in which names between backticks are set as code. */
export function withCode(text) {
  return text.split("`").map((piece, at) => (at % 2 === 1 ? h("code", {}, piece) : piece));
}

/** A table; `numeric` are the positions of columns with numbers. The last column of `reasons` gets most of the width. */
export function simpleTable(label, head, rows, numeric = [], kind = "") {
  const classOf = (at) => (numeric.includes(at) ? "numeric" : null);
  return h(
    "div",
    { class: `table-box ${kind}`, tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      {},
      h("caption", { class: "hidden-text" }, label),
      h("thead", {}, h("tr", {}, head.map((name, at) => h("th", { class: classOf(at), scope: "col" }, name)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) => h("td", { class: classOf(at) }, cell))))),
    ),
  );
}
