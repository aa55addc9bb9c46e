// Logs in or signs up.

import { h, replace } from "../dom.js";
import * as live from "../live.js";
import { problemBox } from "../notices.js";
import { navigate, query } from "../router.js";
import { logIn, signUp } from "../session.js";

export const title = "Log in";

export function mount(root) {
  const username = h("input", { name: "username", autocomplete: "username", required: true, minlength: 5, maxlength: 15, pattern: "[A-Za-z0-9]+" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const notice = h("div");
  const enter = async (action) => {
    replace(notice);
    try {
      await action(username.value, password.value);
    } catch (problem) {
      replace(notice, problemBox(problem));
      return;
    }
    live.start();
    navigate(back(), { replace: true });
  };
  const form = h(
    "form",
    { class: "card stack login", onsubmit: (event) => { event.preventDefault(); enter(logIn); } },
    h("h1", {}, "Log in"),
    h("label", { class: "field" }, "User name", username),
    h("label", { class: "field" }, "Password", password),
    notice,
    h(
      "div",
      { class: "row" },
      h("button", { class: "primary", type: "submit" }, "Log in"),
      h("button", { type: "button", onclick: () => form.reportValidity() && enter(signUp) }, "Sign up with this name"),
    ),
    h("p", { class: "soft small" }, "A name has 5 to 15 letters and digits. The server says what a password needs."),
  );
  root.append(form);
  username.focus();
}

/** The address before the login; only one of this page. */
function back() {
  const address = query().get("back") ?? "/";
  return address.startsWith("/") && !address.startsWith("//") ? address : "/";
}
