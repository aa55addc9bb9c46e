// An address that leads nowhere.

import { h } from "../dom.js";

export const title = "Not found";

export function mount(root) {
  root.append(
    h(
      "div",
      { class: "card empty" },
      h("h2", {}, "There is nothing at this address"),
      h("p", {}, h("a", { href: "/" }, "Upload a file"), ", look at ", h("a", { href: "/tasks" }, "your tasks"), " or read about ", h("a", { href: "/docs/" }, "the API"), "."),
    ),
  );
}
