// The settings in force, with a filter.

import { h } from "../../dom.js";
import { number } from "../../format.js";
import { query, setQuery } from "../../router.js";
import { refill, tableBox } from "../../sections.js";

/** The table of the settings. */
export function settings() {
  const body = h("tbody");
  const words = h("input", { type: "search", "aria-label": "Filter the settings", placeholder: "Filter", value: query().get("setting") ?? "", oninput: () => { setQuery({ setting: words.value.trim() }); fill(); } });
  const changed = h("input", { type: "checkbox", checked: query().get("changed") === "1", onchange: () => { setQuery({ changed: changed.checked ? "1" : null }); fill(); } });
  const found = h("span", { class: "soft small", role: "status" });
  const element = h(
    "section",
    { class: "stack", hidden: true },
    h("div", { class: "row" }, h("h2", {}, "Settings in force"), found, h("span", { class: "grow" }), h("label", { class: "check" }, changed, "Only changed ones"), words),
    tableBox("Settings", ["Name", "Value", "Source"], body),
  );
  let all = [];
  let last = "";

  function fill() {
    const text = words.value.trim().toLowerCase();
    const shown = all.filter((one) => `${one.name} ${one.value}`.toLowerCase().includes(text) && !(changed.checked && one.default));
    found.textContent = shown.length === all.length ? number(all.length) : `${number(shown.length)} of ${number(all.length)}`;
    refill(body, shown.length ? shown.map(row) : h("tr", {}, h("td", { colspan: 3, class: "soft" }, "No setting matches.")));
  }

  return {
    element,
    show({ operations }) {
      // They change with a restart only, and a selected text would be lost.
      const next = JSON.stringify(operations?.settings ?? []);
      if (next === last) return;
      last = next;
      all = operations?.settings ?? [];
      element.hidden = all.length === 0;
      fill();
    },
  };
}

function row({ name, value, default: isDefault }) {
  return h(
    "tr",
    {},
    h("td", { class: "mono nowrap" }, name),
    h("td", { class: "mono setting-value wrap" }, value === "" || value === null ? h("span", { class: "soft" }, "(none)") : value),
    h("td", { class: "nowrap" }, isDefault ? h("span", { class: "soft" }, "default") : h("strong", {}, "configured")),
  );
}
