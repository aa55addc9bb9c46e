// The keyboard of the list.

import { showHelp } from "./help.js";

/**
 * Listens to keys until the returned function is called.
 *
 * @param {object} table from `createTable`
 * @param {HTMLInputElement} search
 * @param {() => void} clearSearch
 */
export function listenToKeys(table, search, clearSearch) {
  const actions = {
    j: () => table.move(1),
    k: () => table.move(-1),
    x: () => table.toggleActive(),
    "/": () => search.focus(),
    "?": showHelp,
    Escape: () => table.clearSelection(),
  };
  const inTable = {
    ArrowDown: () => table.move(1),
    ArrowUp: () => table.move(-1),
    PageDown: () => table.move(10),
    PageUp: () => table.move(-10),
    Home: () => table.move(-Infinity),
    End: () => table.move(Infinity),
    Enter: () => table.openActive(),
    " ": () => table.toggleActive(),
  };

  const onKey = (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.target === search && event.key === "Escape") {
      clearSearch();
      search.blur();
      return;
    }
    if (event.target.closest("input:not([type=checkbox]), select, textarea, details[open]")) return;
    const action = (table.element.contains(event.target) && inTable[event.key]) || actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}
