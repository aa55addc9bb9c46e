// The account: who the user is, sessions, API keys and password; for administrators also all users and the audit log.

import { h, replace } from "../dom.js";
import { query, setQuery } from "../router.js";
import { isAdministrator, user } from "../session.js";
import { tabList } from "../tabs.js";
import { audit } from "./account/audit.js";
import { keys } from "./account/keys.js";
import { me } from "./account/me.js";
import { passwordForm } from "./account/password.js";
import { sessions } from "./account/sessions.js";
import { users } from "./account/users.js";

export const title = "Account";

const TABS = [{ key: "", text: "You" }, { key: "users", text: "Users" }, { key: "audit", text: "Audit log" }];

export function mount(root) {
  const content = h("div", { class: "screen" });
  const tabs = tabList("Account", (tab) => {
    // Filters of the other tabs mean nothing here.
    setQuery({ ...Object.fromEntries([...query().keys()].map((name) => [name, null])), tab });
    show(tab);
  });
  let leave = () => {};

  function show(chosen) {
    leave();
    tabs.show(TABS, chosen);
    const view = chosen === "users" ? users() : chosen === "audit" ? audit() : own();
    replace(content, view.elements);
    leave = view.leave;
  }

  root.append(h("h1", {}, title), isAdministrator() ? tabs.element : "", content);
  const asked = query().get("tab") ?? "";
  show(isAdministrator() && TABS.some(({ key }) => key === asked) ? asked : "");
  return () => leave();
}

/** What concerns the user alone. Without a login there are no sessions, no keys and no password. */
function own() {
  const hasLogin = user().login_required || Boolean(user().session);
  if (!hasLogin) return { elements: [h("div", { class: "cards" }, me())], leave() {} };
  const [list, ownKeys] = [sessions(), keys()];
  return {
    elements: [h("div", { class: "cards" }, me(), passwordForm(list.load)), list.element, ownKeys.element],
    leave() {
      list.leave();
      ownKeys.leave();
    },
  };
}
