// Fields of forms, with what the server says about each of them below it.

import { h, replace } from "./dom.js";
import { problemBox } from "./notices.js";

let ids = 0;

/**
 * A field with a label; `name` is that of the API, so that errors find their field.
 *
 * @returns {{element: Node, input: HTMLInputElement}}
 */
export function field(label, { name, hint, ...attributes }) {
  const [hintId, errorId] = [`hint-${++ids}`, `error-${ids}`];
  const error = h("span", { class: "field-error", id: errorId, role: "alert" });
  const input = h("input", { name, ...attributes, "aria-describedby": hint ? `${hintId} ${errorId}` : errorId });
  input.addEventListener("input", () => say(input, ""));
  const element = h("label", { class: "field" }, label, input, hint && h("span", { id: hintId }, hint), error);
  return { element, input };
}

/** A field for a password, which can be shown. */
export function passwordField(label, attributes) {
  const { element, input } = field(label, { type: "password", required: true, ...attributes });
  const toggle = h("button", {
    type: "button", class: "link password-toggle", "aria-label": `Show ${label.toLowerCase()}`, "aria-pressed": "false",
    onclick: () => {
      const isShown = input.type === "text";
      input.type = isShown ? "password" : "text";
      toggle.textContent = isShown ? "Show" : "Hide";
      toggle.setAttribute("aria-pressed", String(!isShown));
    },
  }, "Show");
  const box = h("span", { class: "password-box" });
  input.replaceWith(box);
  box.append(input, toggle);
  return { element, input };
}

/** Shows a problem: each error at its field, and what has none in `notice`. */
export function showProblem(form, notice, problem) {
  const rest = [];
  for (const error of problem.errors ?? []) {
    const input = error.field && form.elements.namedItem(error.field);
    if (input instanceof HTMLInputElement) say(input, `${capital(error.reason)}.`);
    else rest.push(error);
  }
  const isPlaced = problem.errors?.length > 0 && rest.length === 0;
  replace(notice, !isPlaced && problemBox(problem));
  form.querySelector('[aria-invalid="true"]')?.focus();
}

/** Shows a text as the error of an input; `""` removes it. */
export function say(input, text) {
  const error = document.getElementById(input.getAttribute("aria-describedby").split(" ").at(-1));
  if (error) error.textContent = text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
