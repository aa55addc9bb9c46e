// The kinds of tasks that take a file, and what is guessed from the beginning of one.

import { DEFAULT_QUOTE, givenOf, OF_FILES, OF_NUMBERS, reasonAgainst, withNames } from "../../dialect.js";
import { positionOf } from "./column_names.js";

/** What each kind does, and where a form with the file is sent. */
export const FILE_KINDS = {
  csv_aggregation: { does: "Sums columns for each group of equal values", path: "/v1/data_processor/upload" },
  csv_preview: { does: "Shows the first rows and the types of all columns", path: "/v1/csv_previews" },
  data_upload: { does: "Loads names and e-mail addresses into the database", path: "/v1/data_uploads" },
  file_statistics: { does: "Counts lines, words and characters", path: "/v1/file_statistics" },
};

/** The columns without parameters. */
export const DEFAULT_COLUMNS = { group_by: ["Song", "Date"], sum: ["Number of Plays"] };

/** The columns that a load needs. */
const LOADED_COLUMNS = ["name", "email"];

/** What a kind does with invalid rows unless told otherwise. */
export const DEFAULT_ON_BAD_ROW = { csv_aggregation: "fail", data_upload: "skip" };

/** What each kind may be told about how a file is written. */
export const DIALECTS = { csv_aggregation: [...OF_NUMBERS, ...OF_FILES], csv_preview: OF_FILES, data_upload: OF_FILES };

/** Whole numbers that are no amounts. */
const NO_AMOUNT = /(^|[\s_-])(id|no|nr|year|month|day|zip|code|post ?code|phone|lat|lon)([\s_-]|$)/i;

/**
 * The kind and, for each column, whether it is grouped by or summed.
 *
 * @param {import("../../csv.js").Csv|null} csv
 * @returns {{kind: string, roles: ("group"|"sum"|null)[]}}
 */
export function guess(csv) {
  if (!csv) return { kind: "file_statistics", roles: [] };
  const names = csv.columns.map(({ name }) => name);
  const find = (columns) => columns.map((column) => positionOf(names, column));
  const [groups, sums] = [find(DEFAULT_COLUMNS.group_by), find(DEFAULT_COLUMNS.sum)];
  if (![...groups, ...sums].includes(-1)) {
    const roles = names.map((_, at) => (groups.includes(at) ? "group" : sums.includes(at) ? "sum" : null));
    return { kind: "csv_aggregation", roles };
  }
  const roles = guessRoles(csv);
  if (!find(LOADED_COLUMNS).includes(-1)) return { kind: "data_upload", roles };
  const isSummed = roles.includes("group") && roles.includes("sum");
  return { kind: isSummed ? "csv_aggregation" : "file_statistics", roles };
}

/** Sums whole numbers; groups by a text whose values repeat, and by a day. */
function guessRoles({ columns, rows }) {
  const isUsable = ({ name }) => name !== "" && columns.filter((other) => other.name === name).length === 1;
  const repeats = ({ distinct }) => rows.length < 5 || distinct < rows.length;
  const roles = columns.map((column) => (column.type === "integer" && isUsable(column) && !NO_AMOUNT.test(column.name) ? "sum" : null));
  const texts = columns.map((column, at) => ({ ...column, at })).filter((column) => column.type === "text" && isUsable(column));
  const group = texts.find(repeats) ?? texts[0];
  const day = columns.findIndex((column) => column.type === "date" && isUsable(column));
  if (group) roles[group.at] = "group";
  if (day >= 0) roles[day] = "group";
  return roles;
}

/** The names of the columns with a role, in the order of the file; days stand last among the groups, since the
 * result is sorted in this order, and a series over time needs the days of a group together. */
export function columnsWith(role, { csv, roles }) {
  const columns = csv ? csv.columns.filter((_, at) => roles[at] === role) : [];
  const isLate = ({ type }) => Number(role === "group" && type === "date");
  return columns.sort((one, other) => isLate(one) - isLate(other)).map(({ name }) => name);
}

/** The parameters of a prepared file's task; those that are defaults are left out. */
export function parametersOf(item) {
  const { kind, onBadRow, totalHeader, memoryLimit } = item;
  const parameters = {};
  if (kind === "csv_aggregation") {
    const columns = { group_by: columnsWith("group", item), sum: columnsWith("sum", item) };
    if (item.csv && !areDefaults(columns, item.csv)) Object.assign(parameters, columns);
    if (totalHeader.trim()) parameters.total_header = totalHeader.trim();
    if (memoryLimit.trim()) parameters.memory_limit = memoryLimit.trim();
  }
  if (kind in DIALECTS) {
    // What was shown here was read as Windows-1252. UTF-16 has a mark that tells the server.
    if (item.encoding === "windows-1252") parameters.encoding = item.encoding;
    Object.assign(parameters, withNames(dialectOf(item)));
    if (parameters.quote === DEFAULT_QUOTE) delete parameters.quote;
  }
  if (kind in DEFAULT_ON_BAD_ROW && onBadRow !== DEFAULT_ON_BAD_ROW[kind]) parameters.on_bad_row = onBadRow;
  return parameters;
}

/** What the task of a prepared file is told about how the file is written. */
function dialectOf({ kind, dialect }) {
  return givenOf(dialect, DIALECTS[kind] ?? []);
}

/** Whether the server takes these columns of a file if none are given. */
function areDefaults(columns, csv) {
  const names = csv.columns.map(({ name }) => name);
  return Object.entries(DEFAULT_COLUMNS).every(([role, wanted]) => {
    const found = wanted.map((column) => names[positionOf(names, column)]);
    return JSON.stringify(columns[role]) === JSON.stringify(found);
  });
}

/** Why a prepared file cannot be started; `null` if it can. */
export function reasonAgainstStart(item) {
  if (item.file.size === 0) return "The file is empty. The server takes no empty files.";
  const against = reasonAgainst(dialectOf(item));
  if (against) return against;
  if (item.kind !== "csv_aggregation" || !item.csv) return null;
  if (!columnsWith("group", item).length) return "Choose at least one column to group by.";
  if (!columnsWith("sum", item).length) return "Choose at least one column to sum.";
  return null;
}
