// Logs in or signs up.

import { h, replace } from "../dom.js";
import { field, passwordField, say, showProblem } from "../forms.js";
import { query } from "../router.js";
import { logIn, signUp, user } from "../session.js";

export const title = "Log in";

const MODES = {
  login: { heading: "Log in", action: logIn, autocomplete: "current-password", other: "signup", question: "No account yet?" },
  signup: { heading: "Sign up", action: signUp, autocomplete: "new-password", other: "login", question: "You have an account?" },
};

export function mount(root) {
  const isNew = query().get("mode") === "signup";
  const mode = isNew ? MODES.signup : MODES.login;
  document.title = document.title.replace(title, mode.heading);
  const name = field("User name", {
    name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false",
    ...(isNew && { minlength: 5, maxlength: 15, pattern: "[A-Za-z0-9]+", title: "5 to 15 letters and digits", hint: "5 to 15 letters and digits" }),
  });
  const password = passwordField("Password", { name: "password", autocomplete: mode.autocomplete, hint: isNew && "6 to 12 characters, unless this server is set to others" });
  const again = isNew && passwordField("Password again", { name: "again", autocomplete: mode.autocomplete });
  const notice = h("div");
  const button = h("button", { class: "primary", type: "submit" }, mode.heading);

  async function submit(event) {
    event.preventDefault();
    replace(notice);
    if (again && again.input.value !== password.input.value) {
      say(again.input, "The passwords differ.");
      again.input.focus();
      return;
    }
    button.disabled = true;
    try {
      await mode.action(name.input.value, password.input.value);
      // A whole new page: the stream of changes and what is shown belong to the user of before.
      location.assign(back());
    } catch (problem) {
      button.disabled = false;
      if (problem.code === "username_taken") say(name.input, "This name is taken.");
      else showProblem(form, notice, problem);
    }
  }

  const form = h(
    "form",
    { class: "card stack login", onsubmit: submit },
    h("h1", {}, mode.heading),
    user() && h("p", { class: "note" }, `You are ${user().username} now. `, h("a", { href: back() }, "Continue so"), "."),
    name.element,
    password.element,
    again && again.element,
    notice,
    button,
    h("p", { class: "soft small" }, mode.question, " ", h("a", { href: otherAddress(mode.other) }, MODES[mode.other].heading)),
  );
  root.append(form);
  name.input.focus();
}

function otherAddress(mode) {
  const parameters = query();
  if (mode === "signup") parameters.set("mode", mode);
  else parameters.delete("mode");
  const text = parameters.toString();
  return text ? `/login?${text}` : "/login";
}

/** The address before the login; only one of this page. */
function back() {
  const address = query().get("back") ?? "/";
  return /^\/(?![/\\])/.test(address) ? address : "/";
}
