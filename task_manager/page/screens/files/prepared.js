// The files that were chosen and not started yet. They stay while other screens are shown.

import { inspect } from "../../csv.js";
import { givenOf, withCharacters } from "../../dialect.js";
import { newKey } from "../../http.js";
import { DEFAULT_ON_BAD_ROW, DIALECTS, guess, parametersOf, reasonAgainstStart } from "./kinds.js";
import { startJob } from "./transfers.js";

/** Files that are read at a time. */
const MOST_READS = 4;

/**
 * @typedef {object} Item a file with what was found in it and what is to be done with it
 * @property {string} id
 * @property {File} file
 * @property {string} name
 * @property {FileSystemFileHandle|null} handle
 * @property {string|null} compression
 * @property {string|null} encoding
 * @property {import("../../csv.js").Csv|null} csv
 * @property {string} kind
 * @property {("group"|"sum"|null)[]} roles of the columns
 * @property {string} onBadRow
 * @property {string} totalHeader
 * @property {string} memoryLimit
 * @property {object} dialect what is given of how the file is written (dialect.js)
 * @property {boolean} isSample
 * @property {boolean} isOpen whether its settings are shown
 * @property {boolean} isMoreOpen whether its further settings are shown
 * @property {number} revision changes when settings were changed outside of its card
 * @property {string|null} columnsKey equal for items with the same columns
 */

/** @type {Item[]} */
let items = [];
const listeners = new Set();

export function preparedItems() {
  return items;
}

/** Calls back when the list changes, until the returned function is called. */
export function onPrepared(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

function changed() {
  for (const callback of [...listeners]) callback();
}

/** Reads the beginning of files and adds them. */
export async function prepare(sources, { isSample = false } = {}) {
  const added = [];
  const left = [...sources.entries()];
  const reader = async () => {
    while (left.length) {
      const [at, source] = left.shift();
      added[at] = await itemOf(source, isSample);
    }
  };
  await Promise.all(Array.from({ length: MOST_READS }, reader));
  items = [...items, ...added];
  if (items.length === 1) items[0].isOpen = true;
  changed();
}

/** Takes a file whose upload was refused back, with its settings. */
export async function prepareAgain({ record, upload, handle }) {
  const dialect = givenOf(withCharacters(record.parameters), DIALECTS[record.kind] ?? []);
  const item = await itemOf({ file: upload.file, name: record.name, handle }, false, dialect);
  const { group_by: groups, sum: sums, total_header: totalHeader = "", memory_limit: memoryLimit = "", on_bad_row: onBadRow } = record.parameters;
  if (item.csv && groups) item.roles = item.csv.columns.map(({ name }) => (groups.includes(name) ? "group" : sums.includes(name) ? "sum" : null));
  chooseKind(item, record.kind);
  Object.assign(item, { totalHeader, memoryLimit, onBadRow: onBadRow ?? item.onBadRow, isOpen: true });
  items = [...items, item];
  changed();
}

async function itemOf({ file, name, handle }, isSample, dialect = {}) {
  const found = await read(file, dialect);
  const { kind, roles } = guess(found.csv);
  return {
    id: newKey(), file, name, handle, ...found, kind, roles, onBadRow: DEFAULT_ON_BAD_ROW[kind] ?? "", totalHeader: "", memoryLimit: "",
    dialect, isSample, isOpen: false, isMoreOpen: Object.keys(dialect).length > 0, revision: 0,
  };
}

/** What is at the beginning of a file. One that cannot be read fails with words when it is uploaded. */
async function read(file, dialect) {
  const found = await inspect(file, dialect).catch(() => ({ compression: null, encoding: null, csv: null }));
  return { ...found, columnsKey: found.csv && JSON.stringify(found.csv.columns.map((column) => column.name)) };
}

/**
 * Reads the beginning of an item's file by another dialect. The roles of its columns stay if they were chosen and
 * the columns are the same.
 *
 * @returns {Promise<boolean>} whether the dialect is still this one
 */
export async function readAs(item, dialect) {
  item.dialect = dialect;
  const found = await read(item.file, dialect);
  if (item.dialect !== dialect) return false;
  const isGuess = JSON.stringify(item.roles) === JSON.stringify(guess(item.csv).roles);
  const isAlike = item.columnsKey === found.columnsKey;
  Object.assign(item, found);
  if (isGuess || !isAlike) item.roles = guess(found.csv).roles;
  // Which files have the same columns is shown on the cards of others too.
  if (!isAlike) changed();
  return true;
}

/** Changes the kind, with its own default for invalid rows. */
export function chooseKind(item, kind) {
  item.kind = kind;
  item.onBadRow = DEFAULT_ON_BAD_ROW[kind] ?? "";
}

/** The other items with the same columns. */
export function alikeTo({ id, columnsKey }) {
  return columnsKey ? items.filter((other) => other.id !== id && other.columnsKey === columnsKey) : [];
}

/** Gives the items with the same columns the settings of this one. */
export async function applyToAlike(item) {
  const { kind, roles, onBadRow, totalHeader, memoryLimit, dialect, columnsKey } = item;
  const alike = alikeTo(item);
  await Promise.all(alike.map((other) => readAs(other, { ...dialect })));
  for (const other of alike) {
    if (other.columnsKey === columnsKey) other.roles = [...roles];
    Object.assign(other, { kind, onBadRow, totalHeader, memoryLimit, revision: other.revision + 1 });
  }
  changed();
}

export function removeItem(item) {
  items = items.filter((other) => other !== item);
  changed();
}

export function removeAll() {
  items = [];
  changed();
}

/** Starts an item, whose result is shown when it has come. */
export function start(item) {
  begin(item).opensAtEnd = true;
  removeItem(item);
}

/** Starts those that can be started. */
export function startAll() {
  const started = items.filter((item) => !reasonAgainstStart(item));
  started.forEach(begin);
  items = items.filter((item) => !started.includes(item));
  changed();
}

function begin(item) {
  const { file, name, handle, kind } = item;
  return startJob({ file, name, handle, kind, parameters: parametersOf(item) });
}
