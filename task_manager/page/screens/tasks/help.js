// The keys of the list.

import { h } from "../../dom.js";

const KEYS = [
  [["j", "↓"], "Next task"],
  [["k", "↑"], "Previous task"],
  [["Enter"], "Open the task"],
  [["x"], "Select the task, or clear its selection"],
  [["Shift", "click"], "Select all tasks from the last selected one"],
  [["/"], "Search"],
  [["Esc"], "Clear the selection, or the search"],
  [["?"], "Show this help"],
];

/** Shows the keys in a dialog. */
export function showHelp() {
  const close = () => {
    dialog.close();
    dialog.remove();
  };
  const dialog = h(
    "dialog",
    { "aria-labelledby": "keys-title", oncancel: close },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", { class: "facts keys dialog-text" }, KEYS.map(([keys, words]) => [
      h("dt", {}, keys.map((key) => h("kbd", {}, key))),
      h("dd", {}, words),
    ])),
    h("div", { class: "actions" }, h("button", { onclick: close }, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}
