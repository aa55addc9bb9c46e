// The account: who the user is, sessions and password; for administrators also all users and the audit log.

import { h, replace } from "../dom.js";
import { query, setQuery } from "../router.js";
import { isAdministrator, user } from "../session.js";
import { audit } from "./account/audit.js";
import { me } from "./account/me.js";
import { passwordForm } from "./account/password.js";
import { sessions } from "./account/sessions.js";
import { users } from "./account/users.js";

export const title = "Account";

const TABS = { "": "You", users: "Users", audit: "Audit log" };

export function mount(root) {
  const content = h("div", { class: "screen" });
  const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Account" });
  let leave = () => {};

  function show(chosen) {
    leave();
    const hasFocus = tabs.contains(document.activeElement);
    replace(tabs, Object.entries(TABS).map(([tab, name]) => h(
      "button",
      { type: "button", role: "tab", "aria-selected": String(tab === chosen), tabindex: tab === chosen ? "0" : "-1", onclick: () => choose(tab), onkeydown: (event) => step(event, tab) },
      name,
    )));
    if (hasFocus) tabs.querySelector('[aria-selected="true"]').focus();
    const view = chosen === "users" ? users() : chosen === "audit" ? audit() : own();
    replace(content, view.elements);
    leave = view.leave;
  }

  function choose(tab) {
    // Filters of the other tabs mean nothing here.
    setQuery({ ...Object.fromEntries([...query().keys()].map((name) => [name, null])), tab });
    show(tab);
  }

  function step(event, tab) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const all = Object.keys(TABS);
    choose(all[(all.indexOf(tab) + by + all.length) % all.length]);
  }

  root.append(h("h1", {}, title), isAdministrator() ? tabs : "", content);
  const asked = query().get("tab") ?? "";
  show(isAdministrator() && asked in TABS ? asked : "");
  return () => leave();
}

/** What concerns the user alone. Without a login there are neither sessions nor a password. */
function own() {
  const hasLogin = user().login_required || Boolean(user().session);
  const list = hasLogin ? sessions() : null;
  return {
    elements: [h("div", { class: "cards" }, me(), hasLogin && passwordForm(list.load)), list?.element],
    leave: () => list?.leave(),
  };
}
