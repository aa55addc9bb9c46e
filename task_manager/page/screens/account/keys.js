// The user's API keys: made here for programs, shown once, and revoked.

import { h, replace } from "../../dom.js";
import { time } from "../../format.js";
import { field, showProblem } from "../../forms.js";
import { get, send } from "../../http.js";
import { icon } from "../../icons.js";
import { ask, problemBox, toast, toastProblem } from "../../notices.js";
import { latest } from "../../refresh.js";
import { copyText, refill, tableBox } from "../../sections.js";
import { isAdministrator, isViewer } from "../../session.js";

const DAY = 86_400;
const EXPIRIES = [["Never", null], ["In 7 days", 7 * DAY], ["In 30 days", 30 * DAY], ["In 90 days", 90 * DAY], ["In a year", 365 * DAY]];
const DEFAULT_EXPIRY = 3;

/** The section of the API keys. */
export function keys() {
  const body = h("tbody");
  const notice = h("div");
  const made = h("div", { role: "status" });
  const table = tableBox("API keys", ["Name", "Key", "Scopes", "Made", "Last used", "Expires", ""], body);
  const form = newKey((key) => {
    replace(made, shownOnce(key, () => replace(made)));
    body.prepend(row(key));
    table.hidden = false;
  });
  const element = h(
    "section",
    { class: "stack" },
    h("h2", {}, "API keys"),
    h("p", { class: "soft" }, "Programs send a key in place of a token: ", h("code", {}, "Authorization: Bearer tpk_…"), ". A key never permits more than you may yourself. A new password does not revoke it."),
    made,
    form,
    notice,
    table,
  );

  const run = latest((problem) => replace(notice, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const { items } = await get("/v1/users/me/keys", {}, { signal });
    replace(notice);
    table.hidden = items.length === 0;
    replace(body, items.map(row));
  });
  load();

  function row(key) {
    const hasExpired = key.expires_at && Date.parse(key.expires_at) <= Date.now();
    const element = h(
      "tr",
      {},
      h("td", { class: "cell-name" }, h("span", { class: "name", title: key.name }, key.name)),
      h("td", { class: "nowrap mono" }, `${key.prefix}…`),
      h("td", { class: "nowrap" }, key.scopes.join(", ")),
      h("td", { class: "nowrap" }, time(key.created_at)),
      h("td", { class: "nowrap" }, key.last_used_at ? time(key.last_used_at) : "Never"),
      h("td", { class: "nowrap" }, hasExpired && "Expired ", key.expires_at ? time(key.expires_at) : "Never"),
      h("td", { class: "numeric" }, h("button", { class: "small danger", "aria-label": `Revoke ${key.name}`, onclick: () => revoke(key, element) }, "Revoke")),
    );
    return element;
  }

  async function revoke(key, element) {
    const text = ["Programs that send it are refused immediately. A revoked key cannot be restored."];
    if (!(await ask({ title: `Revoke the key ${key.name}?`, text, confirm: "Revoke", kind: "danger" }))) return;
    try {
      await send("DELETE", `/v1/users/me/keys/${key.key_id}`);
      refill(body, [...body.children].filter((other) => other !== element));
      table.hidden = body.children.length === 0;
      toast(`The key ${key.name} is revoked.`, { kind: "good" });
    } catch (problem) {
      toastProblem(problem);
    }
  }

  return { element, leave: run.abort };
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
