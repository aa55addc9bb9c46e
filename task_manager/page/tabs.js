// Tabs that choose what a screen shows; the arrow keys move between them.

import { h, replace } from "./dom.js";

/**
 * @param {string} label
 * @param {(key: string) => void} onChoose
 * @returns {{element: Node, show: (tabs: {key: string, text: string, count?: string}[], chosen: string) => void}}
 */
export function tabList(label, onChoose) {
  const element = h("div", { class: "tabs", role: "tablist", "aria-label": label });

  function show(tabs, chosen) {
    const hasFocus = element.contains(document.activeElement);
    const step = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const at = tabs.findIndex(({ key }) => key === chosen);
      onChoose(tabs[(at + by + tabs.length) % tabs.length].key);
    };
    replace(element, tabs.map(({ key, text, count }) => h(
      "button",
      { type: "button", role: "tab", "aria-selected": String(key === chosen), tabindex: key === chosen ? "0" : "-1", onclick: () => onChoose(key), onkeydown: step },
      text,
      count && h("span", { class: "count" }, count),
    )));
    if (hasFocus) element.querySelector('[aria-selected="true"]').focus();
  }

  return { element, show };
}
