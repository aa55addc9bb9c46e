// Parts that several screens have: figures, a period in the address, lists of pages, copied texts.

import { h, replace } from "./dom.js";
import { number } from "./format.js";
import { icon } from "./icons.js";
import { onTask } from "./live.js";
import { toast } from "./notices.js";
import { gathered } from "./refresh.js";
import { query, setQuery } from "./router.js";

const DAY = 86_400_000;

/** A large number with its name, and a smaller text below. */
export function figure(name, value, note) {
  return h(
    "div",
    { class: "figure" },
    h("dt", {}, name),
    h("dd", {}, value, note && h("div", { class: "small soft" }, note)),
  );
}

/**
 * A button that says how many tasks of a kind were processed since the list was read, so that its rows do not
 * jump; `reset` is to be called when it has been read.
 */
export function newPill(kind, load) {
  const element = h("span", { role: "status" });
  let arrived = 0;
  const show = gathered(() => replace(element, arrived > 0 && h("button", { class: "small", onclick: load }, icon("again"), `${number(arrived)} new`)), 300);
  const stopTasks = onTask((task) => {
    if (task.kind !== kind || task.state !== "processed") return;
    arrived += 1;
    show();
  });
  return {
    element,
    reset() {
      arrived = 0;
      show();
    },
    stop() {
      stopTasks();
      show.cancel();
    },
  };
}

/** The period of the address, as the API takes it: `to` is the day after the last one. */
export function periodQuery() {
  const [from, to] = [query().get("from"), query().get("to")];
  return { from, to: isDay(to) ? day(Date.parse(to) + DAY) : to };
}

/** Days to choose, which stay in the address; calls back when they change. */
export function periodChoice(onChange) {
  const input = (name, label) => h("input", { type: "date", name, "aria-label": label, title: `${label}, in UTC`, max: "9999-12-30", onchange: fromInputs });
  const [from, to] = [input("from", "First day"), input("to", "Last day")];
  const presets = h(
    "select",
    { "aria-label": "Period", onchange: () => choose(presets.value) },
    [["", "All time"], ["0", "Today"], ["6", "Last 7 days"], ["29", "Last 30 days"], ["364", "Last year"], ["own", "From … to …"]]
      .map(([value, text]) => h("option", { value }, text)),
  );
  const own = h("span", { class: "row" }, from, "–", to);

  function choose(value) {
    own.hidden = value !== "own";
    if (value === "own") return from.focus();
    from.value = value === "" ? "" : day(Date.now() - Number(value) * DAY);
    to.value = "";
    fromInputs();
  }

  function fromInputs() {
    setQuery({ from: from.value, to: to.value });
    onChange();
  }

  from.value = query().get("from") ?? "";
  to.value = query().get("to") ?? "";
  const days = from.value && Math.round((Date.parse(day(Date.now())) - Date.parse(from.value)) / DAY);
  const isPreset = !to.value && [...presets.options].some((option) => option.value === String(days));
  presets.value = isPreset ? String(days) : "own";
  own.hidden = presets.value !== "own";
  return h("div", { class: "row period" }, presets, own);
}

function isDay(text) {
  return /^\d{4}-\d\d-\d\d$/.test(text ?? "");
}

function day(time) {
  return new Date(time).toISOString().slice(0, 10);
}

/** A table with a head; `columns` are texts, or `{text, numeric}`. */
export function tableBox(label, columns, body) {
  return h(
    "div",
    { class: "table-box", tabindex: "0", role: "region", "aria-label": label },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.numeric ? "numeric" : null }, column.text ?? column)))),
      body,
    ),
  );
}

/**
 * Shows the pages of a list below each other.
 *
 * @param {HTMLElement} body Where the rows go.
 * @param {(item: object) => Node} row
 * @param {(token: string) => Promise<{items: object[], next_page_token: string|null}>} load
 * @returns {{element: Node, show: (page: object) => void}} `element` is the button for the next page, and
 *   `show` shows a first page.
 */
export function pages(body, row, load) {
  let token = null;
  const button = h("button", { onclick: more }, "Show more");
  const element = h("div", { class: "row more", hidden: true }, button);

  async function more() {
    button.disabled = true;
    const asked = token;
    try {
      const page = await load(asked);
      // Meanwhile another list may have been shown.
      if (asked === token) add(page);
    } catch (problem) {
      toast(problem.message, { kind: "bad" });
    }
    button.disabled = false;
  }

  function add(page) {
    body.append(...page.items.map(row));
    token = page.next_page_token;
    element.hidden = !token;
  }

  function show(page) {
    replace(body);
    add(page ?? { items: [], next_page_token: null });
  }

  return { element, show };
}

/** Saves text as a file of the browser. */
export function saveText(text, name, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: address, download: name });
  link.click();
  // The browser reads the address after the click.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Replaces all children of an element that is shown again and again; the focus stays where it was. */
export function refill(element, ...children) {
  const focusable = () => [...element.querySelectorAll("a[href], button, input, select")];
  const at = focusable().indexOf(document.activeElement);
  replace(element, ...children);
  if (at >= 0) focusable()[at]?.focus();
}

/** Copies the text of an element, or selects it where the browser does not permit that. */
export async function copyText(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    toast("Copied.");
  } catch {
    // The clipboard needs a secure page: the text is selected, to be copied by the keyboard.
    getSelection().selectAllChildren(code);
    toast("The text is selected. Copy it with Ctrl+C.");
  }
}
