// What can be done with the selected tasks: a bar at the lower edge, which moves nothing when it appears.

import { h, replace } from "../../dom.js";
import { count, number } from "../../format.js";
import { icon } from "../../icons.js";
import { ACTIONS, reasonAgainstMany } from "../../states.js";

/**
 * @param {{onAct: (action: string, isAll: boolean) => void, onSelectAll: () => void, onClear: () => void}} callbacks
 *   `isAll` is whether the action is for all tasks that match, loaded or not
 */
export function createSelectionBar({ onAct, onSelectAll, onClear }) {
  const element = h("div", { class: "selection-bar", role: "region", "aria-label": "Selected tasks", hidden: true });
  let isAll = false;

  /** Shows how many are selected, of so many that match; `owner` is the user whose tasks are listed, if not all are. */
  function show(selected, loaded, total, owner) {
    if (selected < loaded || selected === 0) isAll = false;
    element.hidden = selected === 0;
    if (selected === 0) return;
    const matching = Math.max(total ?? 0, loaded);
    const chosen = isAll ? matching : selected;
    const reason = reasonAgainstMany(owner);
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    replace(
      element,
      h("strong", { role: "status" }, isAll ? `All ${number(matching)} that match` : `${number(chosen)} selected`),
      !isAll && matching > selected && h(
        "button",
        { class: "link", dataset: { name: "all" }, onclick: () => { isAll = true; onSelectAll(); } },
        `Select all ${number(matching)} that match`,
      ),
      h("span", { class: "row" }, Object.entries(ACTIONS).map(([name, { label, icon: symbol, isDanger }]) =>
        h(
          "button",
          {
            class: isDanger ? "danger" : null, dataset: { name },
            "aria-disabled": reason ? "true" : null, "aria-description": reason, title: reason ?? `${label} ${count(chosen, "task")}`,
            onclick: () => !reason && onAct(name, isAll),
          },
          icon(symbol),
          label,
        ),
      )),
      h("button", { class: "icon-button", dataset: { name: "clear" }, "aria-label": "Clear the selection", title: "Clear the selection (Esc)", onclick: onClear }, icon("close")),
    );
    if (focused) element.querySelector(`[data-name="${focused}"]`)?.focus();
  }

  return { element, show };
}
