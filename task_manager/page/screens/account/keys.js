// The user's API keys: made here for programs, shown once, and revoked.

import { h, replace } from "../../dom.js";
import { field, showProblem } from "../../forms.js";
import { send } from "../../http.js";
import { icon } from "../../icons.js";
import { copyText } from "../../sections.js";
import { isAdministrator, isViewer } from "../../session.js";
import { keyTable } from "./key_table.js";

const DAY = 86_400;
const EXPIRIES = [["Never", null], ["In 7 days", 7 * DAY], ["In 30 days", 30 * DAY], ["In 90 days", 90 * DAY], ["In a year", 365 * DAY]];
const DEFAULT_EXPIRY = 3;

/** The section of the API keys. */
export function keys() {
  const made = h("div", { role: "status" });
  const list = keyTable("/v1/users/me/keys");
  const form = newKey((key) => {
    replace(made, shownOnce(key, () => replace(made)));
    list.add(key);
  });
  const element = h(
    "section",
    { class: "stack" },
    h("h2", {}, "API keys"),
    h("p", { class: "soft" }, "Programs send a key in place of a token: ", h("code", {}, "Authorization: Bearer tpk_…"), ". A key never permits more than you may yourself. A new password does not revoke it."),
    made,
    form,
    list.elements,
  );
  return { element, leave: list.leave };
}

/** The form of a new key; `onMade` gets what the server answered. */
function newKey(onMade) {
  const name = field("Name", { name: "name", required: true, maxlength: 100, placeholder: "nightly export", autocomplete: "off" });
  const expiry = h("select", {}, EXPIRIES.map(([text], index) => h("option", { value: index }, text)));
  expiry.value = DEFAULT_EXPIRY;
  const scope = (label, attributes) => {
    const input = h("input", { type: "checkbox", ...attributes });
    return { input, element: h("label", { class: "check" }, input, label) };
  };
  const read = scope("read", { checked: true, disabled: true, title: "Every key may read" });
  const write = scope("write: submit and control tasks", { checked: !isViewer(), disabled: isViewer() });
  const admin = scope("admin: with the rights of an administrator", {});
  const notice = h("div");
  const button = h("button", { class: "primary", type: "submit" }, "Make a key");

  async function submit(event) {
    event.preventDefault();
    replace(notice);
    button.disabled = true;
    const scopes = [["read", read], ["write", write], ["admin", admin]].filter(([, { input }]) => input.checked).map(([word]) => word);
    try {
      onMade(await send("POST", "/v1/users/me/keys", { json: { name: name.input.value, scopes, expires_in: EXPIRIES[expiry.value][1] } }));
      name.input.value = "";
    } catch (problem) {
      showProblem(form, notice, problem);
    }
    button.disabled = false;
  }

  const form = h(
    "form",
    { class: "card stack", onsubmit: submit },
    h("div", { class: "cards" }, name.element, h("label", { class: "field" }, "Expires", expiry)),
    h("fieldset", { class: "plain-fieldset" }, h("legend", {}, "Scopes"), h("div", { class: "row" }, read.element, write.element, isAdministrator() && admin.element)),
    notice,
    h("div", { class: "row" }, button),
  );
  return form;
}

/** The card of a new key. */
function shownOnce({ name, key }, close) {
  const code = h("code", {}, key);
  return h(
    "div",
    { class: "card stack" },
    h("h3", {}, "The key ", h("span", { class: "wrap" }, name)),
    h("p", {}, "Copy the key now: it is shown only this once, and the server keeps no copy of it."),
    h(
      "div",
      { class: "command" },
      h("span", { class: "command-label" }, "Key"),
      h("pre", { tabindex: "0", "aria-label": "The key" }, code),
      h("button", { class: "icon-button", type: "button", "aria-label": "Copy the key", title: "Copy", onclick: () => copyText(code) }, icon("copy")),
    ),
    h("div", { class: "row" }, h("button", { type: "button", onclick: close }, "Done")),
  );
}
