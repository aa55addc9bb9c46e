// Who the user is, and how times are shown.

import { h } from "../../dom.js";
import { chooseUtc, exactTime, time, usesUtc } from "../../format.js";
import { toastProblem } from "../../notices.js";
import { logOut, user } from "../../session.js";

const ROLES = {
  user: "User: works with own tasks and files",
  admin: "Administrator: also sees and manages what others do",
  viewer: "Viewer: looks, and changes nothing",
};

/** The card of the user. */
export function me() {
  const { user_id: id, username, role, login_required: isRequired, session } = user();
  return h(
    "section",
    { class: "card stack" },
    h("div", { class: "spread" }, h("h2", { class: "wrap" }, username), session && h("button", { onclick: leave }, "Log out")),
    h(
      "dl",
      { class: "facts" },
      h("dt", {}, "Role"),
      h("dd", {}, ROLES[role] ?? role),
      h("dt", {}, "Id"),
      h("dd", { class: "mono wrap" }, id),
      session && [h("dt", {}, "Logged in"), h("dd", {}, time(session.created_at)), h("dt", {}, "Until"), h("dd", {}, time(session.expires_at))],
    ),
    !isRequired && h(
      "div",
      { class: "note stack" },
      h("p", {}, session ? "This server requires no login. Without one, requests are those of the user local." : "This server requires no login: everyone who reaches it is the user local, an administrator."),
      h("div", { class: "row" }, h("a", { class: "button", href: "/login?back=/account" }, session ? "Log in as another user" : "Log in as a user"), h("a", { class: "button", href: "/login?mode=signup&back=/account" }, "Sign up a new one")),
    ),
    zoneChoice(),
  );
}

function zoneChoice() {
  const now = h("span", { class: "soft small" });
  const show = () => { now.textContent = `Now it is ${exactTime(Date.now())}.`; };
  const option = (label, utc) => h("label", { class: "check" }, h("input", { type: "radio", name: "zone", checked: usesUtc() === utc, onchange: () => { chooseUtc(utc); show(); } }), label);
  show();
  return h(
    "fieldset",
    { class: "plain-fieldset" },
    h("legend", {}, "Exact times"),
    h("div", { class: "row zone-choice" }, option(`Local (${new Intl.DateTimeFormat().resolvedOptions().timeZone})`, false), option("UTC", true), now),
  );
}

async function leave(event) {
  const button = event.currentTarget;
  button.disabled = true;
  try {
    await logOut();
    // A whole new page, so that nothing of the user stays in it.
    location.assign("/login");
  } catch (problem) {
    button.disabled = false;
    toastProblem(problem);
  }
}
