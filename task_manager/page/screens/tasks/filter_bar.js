// The controls that narrow the list down. Their values are the query of the address.

import { h, replace } from "../../dom.js";
import { KINDS, kindName, shortId } from "../../format.js";
import { icon } from "../../icons.js";
import { query, setQuery } from "../../router.js";
import { isAdministrator } from "../../session.js";
import { DEFAULT_SORT, isNarrowed, NARROWING, PERIODS, readSort, SORTS } from "./filter.js";

/** After how many milliseconds without a key the text is searched for. */
const TYPING_PAUSE = 250;

/** @param {() => void} onChange called when the address has changed */
export function createFilterBar(onChange) {
  let timer = null;
  const change = (changes) => {
    setQuery(changes);
    show();
    onChange();
  };

  const search = h("input", {
    type: "search", placeholder: "Search file names and ids", "aria-label": "Search file names and ids", "aria-keyshortcuts": "/", maxlength: 200,
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => change({ text: search.value.trim() }), TYPING_PAUSE);
    },
  });
  const kind = select("Kind", [["", "All kinds"], ...Object.keys(KINDS).map((name) => [name, kindName(name)])], (value) => change({ kind: value }));
  const period = select(
    "Created",
    [["", "Any time"], ...Object.entries(PERIODS).map(([name, [, words]]) => [name, words]), ["days", "From … to …"]],
    (value) => (value === "days" ? showDays(true) : change({ period: value, from: null, to: null })),
  );
  const sort = select("Order", Object.entries(SORTS), (value) => change({ sort: value === DEFAULT_SORT ? null : value }));
  const day = (label, name) =>
    h("input", { type: "date", "aria-label": label, onchange: (event) => change({ [name]: event.target.value, period: null }) });
  const from = day("Created on or after this day (UTC)", "from");
  const to = day("Created before this day (UTC)", "to");
  const days = h("span", { class: "row", hidden: true }, from, h("span", { class: "soft" }, "to"), to);
  const everybody = isAdministrator() && h(
    "label",
    { class: "check nowrap" },
    h("input", { type: "checkbox", onchange: (event) => change({ all: event.target.checked ? "true" : null }) }),
    "All users",
  );
  const chips = h("span", { class: "row" });

  function showDays(isShown) {
    days.hidden = !isShown;
    if (isShown) period.value = "days";
  }

  /** Shows the values of the address. */
  function show() {
    const parameters = query();
    if (document.activeElement !== search) search.value = parameters.get("text") ?? "";
    kind.value = parameters.get("kind") ?? "";
    sort.value = readSort();
    from.value = parameters.get("from") ?? "";
    to.value = parameters.get("to") ?? "";
    period.value = parameters.get("period") ?? "";
    showDays(Boolean(from.value || to.value));
    if (everybody) everybody.firstChild.checked = parameters.get("all") === "true";
    const chip = (name, value, words) =>
      h(
        "span",
        { class: "chip" },
        h("span", { class: "name" }, words),
        h("button", { class: "icon-button", "aria-label": `Remove the filter ${words}`, onclick: () => change({ [name]: parameters.getAll(name).filter((other) => other !== value) }) }, icon("close")),
      );
    replace(
      chips,
      parameters.getAll("error_code").map((code) => chip("error_code", code, `Error ${code}`)),
      parameters.getAll("user_id").map((id) => chip("user_id", id, `User ${shortId(id)}`)),
      parameters.getAll("parameter").map((parameter) => chip("parameter", parameter, parameter)),
      isNarrowed() && h("button", { class: "link small", onclick: clear }, "Clear filters"),
    );
  }

  function clear() {
    search.value = "";
    change(Object.fromEntries(NARROWING.map((name) => [name, null])));
  }

  show();
  return {
    element: h("div", { class: "filter-bar", role: "search" }, h("span", { class: "search-box" }, icon("search"), search), kind, period, days, sort, everybody, chips),
    search,
    clear,
    show,
    destroy: () => clearTimeout(timer),
  };
}

function select(label, options, onChoose) {
  return h(
    "select",
    { "aria-label": label, onchange: (event) => onChoose(event.target.value) },
    options.map(([value, words]) => h("option", { value }, words)),
  );
}
