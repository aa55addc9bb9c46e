// The audit log, for administrators: who did what, when and from where.

import { h, replace } from "../../dom.js";
import { exactTime, shortId } from "../../format.js";
import { get } from "../../http.js";
import { problemBox } from "../../notices.js";
import { latest } from "../../refresh.js";
import { query, setQuery } from "../../router.js";
import { pages, periodChoice, periodQuery, tableBox } from "../../sections.js";

const ACTIONS = [
  "signed_up", "administrator_created", "logged_in", "login_refused", "login_of_disabled_user", "logged_out",
  "session_ended", "key_created", "key_revoked", "password_changed", "password_refused", "password_reset", "user_changed",
  "refused", "task_stopped", "task_killed", "task_resumed", "task_deleted", "bulk_action_requested", "schedule_changed", "schedule_deleted", "schedule_run",
];

/** The tab of the audit log. */
export function audit() {
  const body = h("tbody");
  const notice = h("div");
  const table = tableBox("Audit log", ["Time", "User", "Action", "Address", "Task", "Detail"], body);
  const filters = () => ({ action: query().get("action"), user_id: query().get("user_id"), ...periodQuery() });
  const list = pages(body, row, (token) => get("/v1/audit", { ...filters(), page_token: token }));
  const run = latest((problem) => replace(notice, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const page = await get("/v1/audit", filters(), { signal });
    replace(notice, page.items.length === 0 && h("div", { class: "card empty" }, h("h2", {}, "Nothing is recorded"), h("p", {}, "Choose another period, action or user.")));
    table.hidden = page.items.length === 0;
    list.show(page);
    who.hidden = !query().get("user_id");
    who.textContent = who.hidden ? "" : `Only ${page.items[0]?.username ?? shortId(query().get("user_id"))} ×`;
  });

  function choose(changes) {
    setQuery(changes);
    load();
  }

  function row(entry) {
    const name = entry.username ?? (entry.user_id ? shortId(entry.user_id) : "–");
    return h(
      "tr",
      {},
      h("td", { class: "nowrap mono" }, h("time", {}, exactTime(entry.at))),
      h("td", { class: "cell-user" }, entry.user_id ? h("button", { class: "link name", title: `Only ${name}`, onclick: () => choose({ user_id: entry.user_id }) }, name) : h("span", { class: "name" }, name)),
      h("td", { class: "nowrap" }, words(entry.action)),
      h("td", { class: "nowrap" }, entry.address ?? "–"),
      h("td", { class: "nowrap" }, entry.task_id ? h("a", { href: `/tasks/${entry.task_id}` }, shortId(entry.task_id)) : "–"),
      h("td", { class: "wrap audit-detail" }, entry.detail ?? ""),
    );
  }

  const action = h("select", { "aria-label": "Action", onchange: () => choose({ action: action.value }) }, h("option", { value: "" }, "All actions"), ACTIONS.map((name) => h("option", { value: name }, words(name))));
  action.value = query().get("action") ?? "";
  const who = h("button", { hidden: true, title: "Show all users", onclick: () => choose({ user_id: null }) });
  load();
  return {
    elements: [h("div", { class: "stack" }, h("div", { class: "row" }, periodChoice(load), action, who), notice, table, list.element)],
    leave: run.abort,
  };
}

/** `task_deleted` as `Task deleted`. */
function words(action) {
  const text = action.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
