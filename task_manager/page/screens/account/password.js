// Changes the user's password.

import { h, replace } from "../../dom.js";
import { passwordField, say, showProblem } from "../../forms.js";
import { send } from "../../http.js";
import { toast } from "../../notices.js";
import { user } from "../../session.js";

/** The form; `onChanged` is called after a change, which has ended the other sessions. */
export function passwordForm(onChanged) {
  const current = passwordField("Current password", { name: "current_password", autocomplete: "current-password" });
  const next = passwordField("New password", { name: "new_password", autocomplete: "new-password" });
  const again = passwordField("New password again", { name: "again", autocomplete: "new-password" });
  const notice = h("div");
  const button = h("button", { class: "primary", type: "submit" }, "Change the password");

  async function submit(event) {
    event.preventDefault();
    replace(notice);
    if (next.input.value !== again.input.value) {
      say(again.input, "The passwords differ.");
      again.input.focus();
      return;
    }
    button.disabled = true;
    try {
      await send("PUT", "/v1/users/me/password", { json: { current_password: current.input.value, new_password: next.input.value } });
      form.reset();
      toast("The password is changed. Your other sessions have ended.", { kind: "good" });
      onChanged();
    } catch (problem) {
      showProblem(form, notice, problem);
    }
    button.disabled = false;
  }

  const form = h(
    "form",
    { class: "card stack", onsubmit: submit },
    h("h2", {}, "Change the password"),
    // Password managers need to know whose password it is.
    h("input", { type: "text", autocomplete: "username", value: user().username, readonly: true, hidden: true }),
    current.element,
    next.element,
    again.element,
    notice,
    h("div", { class: "spread" }, h("span", { class: "soft small" }, "Ends your other sessions"), button),
  );
  return form;
}
