// A table of rows with the same height, of which only the visible ones are in the document: 10,000 rows scroll
// as fast as 50. It scrolls with the page. One row is the tab stop; the keys that move it are methods here, and
// a screen decides which keys call them.

import { h, replace } from "./dom.js";
import { createRowSelection } from "./row_selection.js";

/** Rows above and below the window that are rendered too, so that fast scrolling shows no gaps. */
const OVERSCAN = 12;
/** How many rows before the last one further rows are asked for. */
const NEAR_END = 60;
const NARROW = matchMedia("(max-width: 720px)");

/**
 * @typedef {object} Column
 * @property {string} name the class of its cells
 * @property {string} label its header; hidden where the column needs none
 * @property {boolean} [isLabelHidden]
 * @property {(row: object) => Node|string|Node[]} render
 *
 * @param {object} options
 * @param {string} options.label what the table lists, for screen readers
 * @param {string} options.kind a class, for which the style sheet defines the widths of the columns
 * @param {Column[]} options.columns
 * @param {{wide: number, narrow: number}} options.heights heights of a row in pixels
 * @param {(row: object) => string} options.keyOf
 * @param {(row: object) => string} options.nameOf what a row is called, for the label of its check box
 * @param {(row: object) => void} options.onOpen
 * @param {(selected: Set<string>) => void} [options.onSelect] also makes rows selectable
 * @param {() => void} [options.onNearEnd]
 */
export function createTable({ label, kind, columns, heights, keyOf, nameOf, onOpen, onSelect, onNearEnd = () => {} }) {
  let rows = [];
  let index = new Map();
  let total = null;
  let active = null;
  let frame = 0;
  let rowHeight = 0;
  /** The rendered rows by key. */
  const shown = new Map();
  const dirty = new Set();

  const selection = onSelect && createRowSelection({
    keys: () => [...index.keys()],
    onRedraw: (keys) => {
      for (const key of keys) dirty.add(key);
      schedule();
    },
    onChange: onSelect,
  });

  const head = h(
    "div",
    { class: "grid-row grid-head", role: "row", "aria-rowindex": 1 },
    onSelect && h("div", { class: "cell-select", role: "columnheader" }, selection.box),
    columns.map((column) =>
      h("div", { class: `cell-${column.name}`, role: "columnheader" }, h("span", { class: column.isLabelHidden ? "hidden-text" : null }, column.label)),
    ),
  );
  const body = h("div", { class: "grid-body", role: "rowgroup" });
  const element = h(
    "div",
    { class: `grid ${kind}`, role: "grid", "aria-label": label, "aria-multiselectable": onSelect ? "true" : null },
    h("div", { class: "grid-top", role: "rowgroup" }, head),
    body,
  );

  body.addEventListener("click", (event) => {
    const row = rowOf(event.target);
    if (!row) return;
    const key = row.dataset.key;
    activate(key, { focus: false });
    if (event.target.closest(".cell-select")) {
      event.preventDefault();
      event.shiftKey ? selection.extendTo(key) : selection.toggle(key);
      return;
    }
    const isText = getSelection().toString() !== "";
    if (!isText && !event.target.closest("a, button") && !event.metaKey && !event.ctrlKey) onOpen(rows[index.get(key)]);
  });
  body.addEventListener("focusin", (event) => {
    const row = rowOf(event.target);
    if (row) activate(row.dataset.key, { focus: false });
  });

  function rowOf(target) {
    return body.contains(target) ? target.closest(".grid-row") : null;
  }

  function render() {
    frame = 0;
    const focused = rowOf(document.activeElement)?.dataset.key;
    const top = body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / rowHeight) - OVERSCAN);
    const last = Math.min(rows.length, Math.ceil((innerHeight - top) / rowHeight) + OVERSCAN);
    const positions = [];
    for (let at = first; at < last; at += 1) positions.push(at);
    // The tab stop stays in the document, since removing it would lose the focus.
    const stop = index.get(active);
    if (stop < first) positions.unshift(stop);
    else if (stop >= last) positions.push(stop);
    const wanted = new Set(positions.map((at) => keyOf(rows[at])));
    for (const [key, row] of shown) {
      if (wanted.has(key)) continue;
      row.remove();
      shown.delete(key);
    }
    let previous = null;
    for (const at of positions) {
      const key = keyOf(rows[at]);
      const row = shown.get(key) ?? create(key);
      if (dirty.has(key)) fill(row, rows[at]);
      place(row, at, previous);
      previous = row;
    }
    dirty.clear();
    // An element that is moved or replaced loses the focus.
    if (focused && shown.has(focused) && !body.contains(document.activeElement)) shown.get(focused).focus({ preventScroll: true });
    if (rows.length > 0 && last > rows.length - NEAR_END) onNearEnd();
  }

  function create(key) {
    const row = h("div", { class: "grid-row", role: "row", tabindex: -1, dataset: { key } });
    shown.set(key, row);
    dirty.add(key);
    return row;
  }

  function fill(row, data) {
    replace(
      row,
      onSelect && h(
        "div",
        { class: "cell-select", role: "gridcell" },
        h("input", { type: "checkbox", tabindex: -1, checked: selection.selected.has(keyOf(data)), "aria-label": `Select ${nameOf(data)}` }),
      ),
      columns.map((column) => h("div", { class: `cell-${column.name}`, role: "gridcell" }, column.render(data))),
    );
  }

  /** Rows are in the order of the list, so that screen readers read them in it. */
  function place(row, at, previous) {
    if (row.at !== at) {
      row.at = at;
      row.style.transform = `translateY(${at * rowHeight}px)`;
      row.setAttribute("aria-rowindex", at + 2);
    }
    if (row.previousSibling !== previous || !row.isConnected) body.insertBefore(row, previous ? previous.nextSibling : body.firstChild);
    const key = row.dataset.key;
    row.tabIndex = key === active ? 0 : -1;
    row.classList.toggle("active", key === active);
    if (selection) row.setAttribute("aria-selected", selection.selected.has(key));
  }

  function schedule() {
    frame ||= requestAnimationFrame(render);
  }

  function measure() {
    rowHeight = NARROW.matches ? heights.narrow : heights.wide;
    element.style.setProperty("--row-height", `${rowHeight}px`);
    for (const row of shown.values()) row.at = null;
    resize();
  }

  function resize() {
    body.style.height = `${rows.length * rowHeight}px`;
    element.setAttribute("aria-rowcount", (total ?? rows.length) + 1);
    schedule();
  }

  function activate(key, { focus = true } = {}) {
    if (!index.has(key)) return;
    active = key;
    if (!focus) return schedule();
    scrollToRow(index.get(key));
    cancelAnimationFrame(frame);
    render();
    shown.get(key).focus({ preventScroll: true });
  }

  function scrollToRow(at) {
    const top = body.getBoundingClientRect().top + at * rowHeight;
    const upper = head.getBoundingClientRect().bottom;
    if (top < upper) scrollBy(0, top - upper);
    else if (top + rowHeight > innerHeight - 8) scrollBy(0, top + rowHeight - innerHeight + 8);
  }

  function firstVisible() {
    const top = body.getBoundingClientRect().top;
    return Math.max(0, Math.ceil((head.getBoundingClientRect().bottom - top) / rowHeight));
  }

  function isVisible(at) {
    const first = firstVisible();
    return at >= first && at < first + innerHeight / rowHeight - 1;
  }

  addEventListener("scroll", schedule, { passive: true });
  addEventListener("resize", schedule);
  NARROW.addEventListener("change", measure);
  measure();

  return {
    element,
    selected: selection?.selected,
    get rows() { return rows; },
    has: (key) => index.has(key),
    get: (key) => rows[index.get(key)],
    /** Replaces all rows; those that were shown before are kept in the document. */
    setRows(next) {
      const before = rows;
      const indexBefore = index;
      rows = next;
      index = new Map(next.map((row, at) => [keyOf(row), at]));
      for (const key of shown.keys()) {
        if (rows[index.get(key)] !== before[indexBefore.get(key)]) dirty.add(key);
      }
      if (active === null || !index.has(active)) active = next.length > 0 ? keyOf(next[0]) : null;
      resize();
      selection?.keep((key) => index.has(key));
    },
    /** Shows new data of a row, in its place. */
    update(row) {
      const key = keyOf(row);
      if (!index.has(key)) return;
      rows[index.get(key)] = row;
      dirty.add(key);
      schedule();
    },
    /** How many rows there are, including those that are not loaded. */
    setTotal(next) {
      total = next;
      element.setAttribute("aria-rowcount", (total ?? rows.length) + 1);
    },
    /** Moves the tab stop by so many rows; from outside of the table, to one that is visible. */
    move(by) {
      if (rows.length === 0) return;
      const isFocused = shown.get(active)?.contains(document.activeElement);
      const stop = index.get(active) ?? 0;
      const at = isFocused ? stop + by : isVisible(stop) ? stop : firstVisible();
      activate(keyOf(rows[Math.min(Math.max(at, 0), rows.length - 1)]));
    },
    get active() { return active; },
    /** Moves the tab stop and the focus to a row, and scrolls to it. */
    focus: (key) => activate(key),
    openActive: () => active !== null && index.has(active) && onOpen(rows[index.get(active)]),
    toggleActive: () => active !== null && index.has(active) && selection.toggle(active),
    selectAll: () => selection.all(),
    clearSelection: () => selection.clear(),
    destroy() {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", schedule);
      removeEventListener("resize", schedule);
      NARROW.removeEventListener("change", measure);
    },
  };
}
