// Saved views: names for queries of the list, kept in this browser.

import { h, replace } from "../../dom.js";
import { icon } from "../../icons.js";
import { toast } from "../../notices.js";

const KEY = "task-views";
const MAX_NAME = 60;

function read() {
  try {
    const views = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(views) ? views.filter(({ name, query }) => typeof name === "string" && typeof query === "string") : [];
  } catch {
    return [];
  }
}

function write(views) {
  localStorage.setItem(KEY, JSON.stringify(views));
}

/** A menu of the saved views; each is a link, so that it can be opened in another tab too. */
export function createViews() {
  const list = h("ul", { class: "menu-list" });
  const name = h("input", { "aria-label": "Name of the view", placeholder: "Name of this view", maxlength: MAX_NAME, required: true });
  const menu = h(
    "details",
    { class: "menu", onkeydown: (event) => event.key === "Escape" && close(), ontoggle: () => menu.open && show() },
    h("summary", { class: "button" }, "Views"),
    h(
      "div",
      { class: "menu-box card stack" },
      list,
      h("form", { class: "row menu-form", onsubmit: save }, name, h("button", { type: "submit" }, "Save")),
      h("p", { class: "soft small" }, "A view keeps the state, filters and order. It is stored in this browser."),
    ),
  );
  const closeOutside = (event) => {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  };
  document.addEventListener("click", closeOutside);

  function show() {
    const views = read();
    replace(
      list,
      views.length === 0 && h("li", { class: "soft" }, "No saved views yet."),
      views.map((view) =>
        h(
          "li",
          {},
          h("a", { class: "name", href: `/tasks${view.query}`, title: view.name, "aria-current": view.query === location.search ? "true" : null }, view.name),
          h("button", { class: "icon-button", "aria-label": `Remove the view ${view.name}`, onclick: (event) => { event.stopPropagation(); remove(view.name); } }, icon("trash")),
        ),
      ),
    );
  }

  function save(event) {
    event.preventDefault();
    const view = { name: name.value.trim(), query: location.search };
    if (!view.name) return;
    write([...read().filter((other) => other.name !== view.name), view].sort((a, b) => a.name.localeCompare(b.name)));
    event.target.reset();
    close();
    toast(`Saved the view “${view.name}”.`, { kind: "good" });
  }

  function remove(gone) {
    write(read().filter((view) => view.name !== gone));
    show();
    name.focus();
  }

  function close() {
    menu.open = false;
    menu.firstChild.focus();
  }

  return { element: menu, destroy: () => document.removeEventListener("click", closeOutside) };
}
