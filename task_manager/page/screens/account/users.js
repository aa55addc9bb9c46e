// All users, for administrators: what they have, their roles, and whether they may log in.

import { h, replace } from "../../dom.js";
import { bytes, number, time } from "../../format.js";
import { passwordField, showProblem } from "../../forms.js";
import { get, send } from "../../http.js";
import { ask, problemBox, toast, toastProblem } from "../../notices.js";
import { gathered, latest } from "../../refresh.js";
import { query, setQuery } from "../../router.js";
import { pages, tableBox } from "../../sections.js";
import { user as self } from "../../session.js";
import { badge } from "../../states.js";
import { openUserKeys } from "./user_keys.js";

const ROLES = ["user", "admin", "viewer"];
const ROLE_NAMES = { user: "a user", admin: "an administrator", viewer: "a viewer" };
const MEANINGS = {
  user: "A user works with own tasks and files.",
  admin: "An administrator also sees and interrupts the tasks of all users, without their files, and manages users, schedules and operations.",
  viewer: "A viewer looks at own tasks and files, and changes nothing.",
};
const TYPING = 250;

/** The tab of the users. */
export function users() {
  const body = h("tbody");
  const notice = h("div");
  const numeric = (text) => ({ text, numeric: true });
  const table = tableBox("Users", ["User", "Role", "Login", numeric("Tasks"), numeric("Stored"), "Signed up", "Last login", ""], body);
  const list = pages(body, row, (token) => get("/v1/users", { text: query().get("text"), page_token: token }));
  const run = latest((problem) => replace(notice, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const page = await get("/v1/users", { text: query().get("text"), page_size: 100 }, { signal });
    replace(notice, page.items.length === 0 && h("div", { class: "card empty" }, h("h2", {}, "No user has this name")));
    table.hidden = page.items.length === 0;
    list.show(page);
  });
  const search = gathered(() => {
    setQuery({ text: words.value.trim() });
    load();
  }, TYPING);
  const words = h("input", { type: "search", "aria-label": "Search users", placeholder: "Search names", value: query().get("text") ?? "", oninput: search });
  load();
  return {
    elements: [h("div", { class: "stack" }, h("div", { class: "row" }, words), notice, table, list.element)],
    leave() {
      run.abort();
      search.cancel();
    },
  };
}

function row(user) {
  const isSelf = user.user_id === self().user_id;
  const element = h("tr", {});
  const change = async (changes) => {
    try {
      const changed = await send("PATCH", `/v1/users/${user.user_id}`, { json: changes });
      exchange(element, row({ ...user, ...changed }));
    } catch (problem) {
      toastProblem(problem);
      exchange(element, row(user));
    }
  };
  const role = h("select", { "aria-label": `Role of ${user.username}`, disabled: isSelf, title: isSelf ? "Administrators cannot change themselves" : null, onchange: () => changeRole(user, role, change) }, ROLES.map((name) => h("option", { value: name }, name)));
  role.value = user.role;
  element.append(
    h("td", { class: "cell-name" }, h("span", { class: "name", title: `${user.username} (${user.user_id})` }, user.username, isSelf && h("span", { class: "soft" }, " (you)"))),
    h("td", {}, role),
    h("td", { class: "nowrap" }, user.disabled ? badge("stopped", "Disabled") : badge("processed", "Allowed")),
    h("td", { class: "numeric" }, h("a", { href: `/tasks?user_id=${user.user_id}` }, number(user.tasks))),
    h("td", { class: "numeric nowrap" }, bytes(user.bytes_stored)),
    h("td", { class: "nowrap" }, time(user.created_at)),
    h("td", { class: "nowrap" }, time(user.last_login_at)),
    h(
      "td",
      {},
      !isSelf && h(
        "div",
        { class: "row actions-cell" },
        h("button", { class: "small", "aria-label": `API keys of ${user.username}`, onclick: () => openUserKeys(user) }, "API keys"),
        h("button", { class: "small", onclick: () => reset(user) }, "Reset password"),
        h("button", { class: `small ${user.disabled ? "" : "danger"}`, onclick: () => (user.disabled ? change({ disabled: false }) : disable(user, change)) }, user.disabled ? "Enable" : "Disable"),
      ),
    ),
  );
  return element;
}

/** The focus stays on the same control. */
function exchange(old, next) {
  const controls = (element) => [...element.querySelectorAll("a, button, select")];
  const at = controls(old).indexOf(document.activeElement);
  old.replaceWith(next);
  if (at >= 0) controls(next)[at]?.focus();
}

async function changeRole({ username, role: old }, select, change) {
  const role = select.value;
  const isSure = await ask({ title: `Make ${username} ${ROLE_NAMES[role]}?`, text: [MEANINGS[role]], confirm: "Change the role" });
  if (isSure) await change({ role });
  else select.value = old;
}

async function disable({ username }, change) {
  const isSure = await ask({ title: `Disable ${username}?`, text: [`${username} cannot log in any more, and all sessions end. Tasks and files stay, and running tasks continue.`], confirm: "Disable", kind: "danger" });
  if (isSure) await change({ disabled: true });
}

/** Asks for a new password until the server takes it. */
async function reset({ user_id: id, username }) {
  const field = passwordField("New password", { name: "new_password", autocomplete: "new-password" });
  const notice = h("div");
  // The Enter key does what the button of the dialog does.
  const confirm = (event) => {
    event.preventDefault();
    form.closest("dialog").querySelector(".actions .primary").click();
  };
  const form = h("form", { class: "stack", onsubmit: confirm }, field.element, notice);
  const text = [`All sessions of ${username} end. Hand the new password over in private.`, form];
  while (await ask({ title: `Reset the password of ${username}?`, text, confirm: "Reset" })) {
    try {
      await send("PUT", `/v1/users/${id}/password`, { json: { new_password: field.input.value } });
      toast(`${username} has a new password.`, { kind: "good" });
      return;
    } catch (problem) {
      // The dialog that follows shows it.
      setTimeout(() => showProblem(form, notice, problem));
    }
  }
}
