// How a CSV file is written, as parameters of tasks. A dialect is an object of characters by the names of the
// parameters; what is missing, empty or `null` is detected or has its default.

/** Parameters of all kinds that read CSV. */
export const OF_FILES = ["delimiter", "encoding", "quote", "escape", "comment"];
/** Parameters of kinds that also read numbers. */
export const OF_NUMBERS = ["thousands", "decimal"];

/** Encodings as the server names them. */
export const ENCODINGS = { "utf-8": "UTF-8", "windows-1252": "Windows-1252", "utf-16": "UTF-16" };
export const DELIMITERS = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars" };
export const DEFAULT_QUOTE = '"';

/** Parameters whose characters have names, which survive shells and headers. The server takes either. */
const WITH_NAMES = ["delimiter", ...OF_NUMBERS];
const NAMES = { ",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", ".": "point", "'": "apostrophe", _: "underscore", " ": "space" };
const CHARACTERS = Object.fromEntries(Object.entries(NAMES).map(([character, name]) => [name, character]));

/** ASCII punctuation that is no delimiter, as a pattern. */
export const MARK = "[!-+\\-.\\/:<-@\\[-`\\{\\}~]";

/** Parameters with names in place of characters. */
export function withNames(parameters) {
  return renamed(parameters, NAMES);
}

/** Parameters with characters in place of names. */
export function withCharacters(parameters) {
  return renamed(parameters, CHARACTERS);
}

function renamed(parameters, words) {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, WITH_NAMES.includes(name) ? words[value] ?? value : value]));
}

/** What is given of a dialect. */
export function givenOf(dialect, parameters) {
  return Object.fromEntries(parameters.filter((name) => dialect[name]).map((name) => [name, dialect[name]]));
}

/** Why the server would refuse a dialect; `null` if it would not. */
export function reasonAgainst({ quote, escape, comment, thousands, decimal }) {
  const mark = new RegExp(`^${MARK}$`, "u");
  const marks = [["quote", quote || DEFAULT_QUOTE], ["escape", escape], ["mark of comments", comment]].filter(([, value]) => value);
  for (const [at, [name, value]] of marks.entries()) {
    if (!mark.test(value)) return `The ${name} must be a punctuation mark other than , ; and |.`;
    const [other] = marks.slice(0, at).find(([, before]) => before === value) ?? [];
    if (other) return `The ${name} must differ from the ${other}.`;
  }
  return thousands && thousands === decimal ? "The marks of thousands and of decimals must differ." : null;
}

/** What the server reads as a whole number: digits, grouped by threes if told so, and decimals that are zeros. */
export function wholeNumber({ thousands, decimal } = {}) {
  const group = thousands === " " ? "[ \\u00a0\\u202f]" : thousands && `[${thousands}]`;
  const grouped = group ? `|\\d{1,3}(?:${group}\\d{3})+` : "";
  return new RegExp(`^-?(?:\\d+${grouped})${decimal ? `(?:[${decimal}]0+)?` : ""}$`);
}
