// Says in words what was found at the beginning of a file, and what the server will not take as it is.

import { DELIMITERS, ENCODINGS } from "../../dialect.js";
import { count, number } from "../../format.js";

const COMPRESSED = { gzip: "Compressed by gzip: ", zstd: "Compressed by zstd: " };
const SHOWN_LINES = 3;

/** One sentence on what the file is. */
export function describe(item) {
  const { file, compression, encoding, csv } = item;
  if (file.size === 0) return "An empty file.";
  const prefix = COMPRESSED[compression] ?? "";
  if (encoding === null) return `${prefix}the server decompresses it; its rows cannot be shown here.`;
  if (csv) return sentence(prefix, `CSV${encoding === "utf-8" ? "" : ` in ${ENCODINGS[encoding]}`}, separated by ${DELIMITERS[csv.delimiter]}, ${count(csv.columns.length, "column")}, ${rowsOf(csv, warnings(item).length === 0)}`);
  return sentence(prefix, encoding === "binary" ? "not a text" : "text, no table of rows and columns");
}

function sentence(prefix, text) {
  return prefix ? `${prefix}${text}.` : `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function rowsOf({ rows, isWhole }, isFine) {
  if (rows.length === 0) return "a header without rows";
  const read = isWhole ? count(rows.length, "row") : `the first ${count(rows.length, "row")}`;
  if (!isFine) return `problems in ${read}`;
  return rows.length === 1 ? `${read} is fine` : `${read} are fine`;
}

/**
 * What needs a change, or attention, before the task works.
 *
 * @returns {{text: string}[]}
 */
export function warnings(item) {
  const { kind, csv, encoding } = item;
  if (item.file.size === 0) return [];
  const found = [];
  // Any file has statistics.
  if (kind === "file_statistics") return found;
  if (!csv && encoding !== null) found.push({ text: "This does not look like CSV. The task would fail." });
  if (!csv) return kind === "csv_aggregation" ? [...found, noColumns()] : found;
  if (csv.irregular.length) {
    const lines = csv.irregular.slice(0, SHOWN_LINES).map(({ line, fields }) => `line ${number(line)} has ${count(fields, "field")}`);
    const more = csv.irregular.length - lines.length;
    found.push({ text: `The header has ${count(csv.columns.length, "column")}, but ${lines.join(", ")}${more > 0 ? ` and ${number(more)} more differ` : ""}: these are invalid rows.` });
  }
  if (kind === "csv_aggregation") found.push(...ofSums(item));
  return found;
}

function ofSums({ csv, roles }) {
  const found = [];
  const summed = csv.columns.filter((_, at) => roles[at] === "sum");
  for (const { name, notWhole } of summed) {
    if (!notWhole) continue;
    const { total, line, value } = notWhole;
    const values = `${count(total, "value")} of “${name}” ${total === 1 ? "is not a whole number" : "are not whole numbers"}`;
    found.push({ text: `${values}, first in line ${number(line)} (“${excerpt(value)}”): ${total === 1 ? "this is an invalid row" : "these are invalid rows"}.` });
  }
  const names = csv.columns.filter((_, at) => roles[at]).map(({ name }) => name);
  const repeated = names.find((name, at) => csv.columns.filter((column) => column.name === name).length > 1 && names.indexOf(name) === at);
  if (repeated !== undefined) found.push({ text: `Several columns are called “${repeated}”. The server needs one of this name.` });
  return found;
}

function excerpt(text) {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function noColumns() {
  return { text: "Its columns are not known here, so the default ones are used: Song and Date to group, Number of Plays to sum." };
}
