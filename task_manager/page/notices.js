// Short messages at the edge of the page, and dialogs.

import { h, replace } from "./dom.js";
import { icon } from "./icons.js";

const TOAST_SECONDS = 6;

/**
 * Shows a message for some seconds, or until it is closed if `isLasting`; `action` is `{label, run}`.
 *
 * @returns {{say: (text: string) => void, close: () => void}} changes its text or closes it
 */
export function toast(text, { kind = "plain", action, isLasting = false } = {}) {
  const words = h("span", {}, text);
  const element = h(
    "div",
    { class: `toast ${kind}` },
    words,
    action && h("button", { class: "link", onclick: () => { element.remove(); action.run(); } }, action.label),
    h("button", { class: "icon-button", "aria-label": "Dismiss", onclick: () => element.remove() }, icon("close")),
  );
  document.getElementById("toasts").append(element);
  if (!isLasting) setTimeout(() => element.remove(), TOAST_SECONDS * 1000);
  return {
    say: (next) => { words.textContent = next; },
    close: () => element.remove(),
  };
}

/** Shows an error as a message. */
export function toastProblem(problem) {
  if (problem.name === "AbortError") return;
  toast(problem.message, { kind: "bad" });
}

/** An error in place of what could not be shown, with a button to try again. */
export function problemBox(problem, retry) {
  return h(
    "div",
    { class: "problem", role: "alert" },
    icon("warning"),
    h(
      "div",
      {},
      h("strong", {}, problem.title ?? "Error"),
      problem.message !== problem.title && h("p", {}, problem.message),
      problem.errors?.length > 0 && h("ul", {}, problem.errors.map((error) => h("li", {}, describe(error)))),
      retry && h("button", { onclick: retry }, "Try again"),
    ),
  );
}

function describe({ field, line, column, reason }) {
  const place = [line && `line ${line}`, column && `column ${column}`, field].filter(Boolean).join(", ");
  return place ? `${place}: ${reason}` : reason;
}

/**
 * Asks in a dialog; resolves to whether it was confirmed.
 *
 * @param {{title: string, text: (string|Node)[], confirm: string, kind?: "danger"|"primary"}} question
 */
export function ask({ title, text, confirm, kind = "primary" }) {
  return new Promise((resolve) => {
    const close = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title", oncancel: () => close(false) },
      h("h2", { id: "dialog-title" }, title),
      h("div", { class: "dialog-text" }, text.map((part) => (part instanceof Node ? part : h("p", {}, part)))),
      h(
        "div",
        { class: "actions" },
        h("button", { onclick: () => close(false) }, "Cancel"),
        h("button", { class: kind, onclick: () => close(true) }, confirm),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Shows a banner at the top of the page until it is called with `null`. */
export function banner(id, text) {
  const banners = document.getElementById("banners");
  const shown = banners.querySelector(`[data-banner="${id}"]`);
  if (!text) return shown?.remove();
  const element = shown ?? h("div", { class: "banner", dataset: { banner: id } });
  replace(element, icon("warning"), h("span", {}, text));
  if (!shown) banners.append(element);
}
