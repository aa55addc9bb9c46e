// The fields of a dialect (dialect.js), which are shown when they are needed.

import { DEFAULT_QUOTE, DELIMITERS, ENCODINGS, MARK } from "./dialect.js";
import { h } from "./dom.js";

const THOUSANDS = [["", "1234"], [".", "1.234"], [",", "1,234"], [" ", "1 234"], ["'", "1'234"], ["_", "1_234"]];
const DECIMALS = [["", "none"], [",", "1,00"], [".", "1.00"]];

const FIELDS = {
  thousands: (given) => choice("Thousands", given, THOUSANDS),
  decimal: (given) => choice("Decimals", given, DECIMALS),
  delimiter: (given) => choice("Separated by", given, [["", "Detected"], ...Object.entries(DELIMITERS)]),
  encoding: (given) => choice("Encoding", given, [["", "By its mark, or UTF-8"], ...Object.entries(ENCODINGS)]),
  quote: (given) => mark("Quote", given, DEFAULT_QUOTE),
  escape: (given) => mark("Escape within quotes", given, "none"),
  comment: (given) => mark("Comments start with", given, "none"),
};

/**
 * A part that opens to the fields of these parameters.
 *
 * @param {object} given a dialect
 * @param {{parameters: string[], isOpen: boolean, onChange?: () => void, onToggle?: (isOpen: boolean) => void}} options
 * @returns {{element: Node, read: () => object, showDetected: (words: object) => void}} `read` returns `null` for
 *   what is not given; `showDetected` says what is used then, for example `{delimiter: "tabs"}`
 */
export function dialectFields(given, { parameters, isOpen, onChange, onToggle }) {
  const fields = parameters.map((name) => ({ name, ...FIELDS[name](given[name] ?? "") }));
  for (const { name, control } of fields) {
    control.name = name;
    control.addEventListener(control.matches("select") ? "change" : "input", () => onChange?.());
  }
  const element = h(
    "details",
    { class: "more-options", open: isOpen, ontoggle: () => onToggle?.(element.open) },
    h("summary", {}, "More options"),
    h("div", { class: "form-grid" }, fields.map((field) => field.element)),
  );
  return {
    element,
    read: () => Object.fromEntries(fields.map(({ name, control }) => [name, control.value || null])),
    showDetected(words) {
      for (const { name, control } of fields) if (words[name]) control.options[0].textContent = `Detected: ${words[name]}`;
    },
  };
}

function choice(label, given, options) {
  return labelled(label, h("select", {}, options.map(([value, words]) => h("option", { value, selected: value === given }, words))));
}

function mark(label, given, placeholder) {
  return labelled(label, h("input", { value: given, placeholder, maxlength: 1, pattern: MARK, spellcheck: "false", autocomplete: "off" }));
}

function labelled(label, control) {
  return { control, element: h("label", { class: "field" }, label, control) };
}
