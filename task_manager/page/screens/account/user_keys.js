// The API keys of another user, for administrators.

import { h } from "../../dom.js";
import { keyTable } from "./key_table.js";

/** Shows the keys in a dialog, where each can be revoked. */
export function openUserKeys({ user_id: id, username }) {
  const empty = h("p", { class: "soft", hidden: true }, "This user has no API keys.");
  const list = keyTable(`/v1/users/${id}/keys`, (hasKeys) => {
    empty.hidden = hasKeys;
  });
  const close = () => {
    list.leave();
    dialog.close();
    dialog.remove();
  };
  const dialog = h(
    "dialog",
    { class: "widest", "aria-labelledby": "user-keys-title", oncancel: close },
    h("h2", { id: "user-keys-title", class: "name" }, `API keys of ${username}`),
    h(
      "div",
      { class: "stack" },
      h("p", { class: "soft" }, "Programs send them to act as this user. A new password does not revoke them."),
      list.elements,
      empty,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: close }, "Close")),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
