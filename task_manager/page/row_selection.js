// Which rows of a table are selected: one at a time, ranges, or all.

import { h } from "./dom.js";

/**
 * @param {object} table
 * @param {() => string[]} table.keys the keys of all rows, in their order
 * @param {(keys: Iterable<string>) => void} table.onRedraw called with rows whose selection changed
 * @param {(selected: Set<string>) => void} table.onChange
 */
export function createRowSelection({ keys, onRedraw, onChange }) {
  const selected = new Set();
  /** Where a range begins: the row that was toggled last. */
  let anchor = null;
  const box = h("input", { type: "checkbox", "aria-label": "Select all loaded rows", onchange: () => (box.checked ? all() : clear()) });

  function all() {
    change(keys(), true);
  }

  function clear() {
    change([...selected], false);
  }

  function change(some, isSelected) {
    for (const key of some) isSelected ? selected.add(key) : selected.delete(key);
    onRedraw(some);
    showBox();
    onChange(selected);
  }

  function showBox() {
    box.checked = selected.size > 0 && selected.size === keys().length;
    box.indeterminate = selected.size > 0 && !box.checked;
  }

  return {
    /** The check box of all rows. */
    box,
    selected,
    all,
    clear,
    toggle(key) {
      anchor = key;
      change([key], !selected.has(key));
    },
    /** Selects all rows from the one that was toggled last; the first time, only this one. */
    extendTo(key) {
      const list = keys();
      const from = list.indexOf(anchor);
      const to = list.indexOf(key);
      if (from < 0) return this.toggle(key);
      change(list.slice(Math.min(from, to), Math.max(from, to) + 1), true);
    },
    /** Forgets rows that are not in the table any more. */
    keep(has) {
      const gone = [...selected].filter((key) => !has(key));
      if (gone.length > 0) change(gone, false);
      else showBox();
    },
  };
}
