// Reads the beginning of a file to show it and to guess what it is. The server reads the whole file and decides
// alone; what is found here only sets defaults.

import { parse } from "./csv_records.js";
import { DELIMITERS, wholeNumber } from "./dialect.js";

const HEAD_BYTES = 256 * 1024;
const ROWS_FOR_TYPES = 1_000;
const ROWS_FOR_DELIMITER = 50;
/** The part of the rows that must have as many fields as the header. */
const REGULAR = 0.8;

/**
 * What the beginning of a file says about it, read by a dialect (dialect.js) as far as it is given.
 *
 * @returns {Promise<{compression: "gzip"|"zstd"|null, encoding: "utf-8"|"utf-16"|"windows-1252"|"binary"|null,
 *   csv: Csv|null}>} `encoding` is `null` if the file cannot be decompressed here
 */
export async function inspect(file, dialect = {}) {
  const { bytes, compression, isWhole } = await readHead(file);
  if (!bytes) return { compression, encoding: null, csv: null };
  const { encoding, text } = decode(bytes, isWhole, dialect.encoding);
  const csv = text === null ? null : readCsv(text, isWhole, isNamedCsv(file.name), dialect);
  return { compression, encoding, csv };
}

/** The first bytes of a file, decompressed where the browser can. */
async function readHead(file) {
  const raw = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const starts = (...magic) => magic.every((byte, at) => raw[at] === byte);
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return { bytes: null, compression: "zstd", isWhole: false };
  if (!starts(0x1f, 0x8b)) return { bytes: raw, compression: null, isWhole: file.size <= HEAD_BYTES };
  if (!window.DecompressionStream) return { bytes: null, compression: "gzip", isWhole: false };
  return { ...(await gunzip(raw, file.size <= HEAD_BYTES)), compression: "gzip" };
}

async function gunzip(raw, isAll) {
  const reader = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const chunks = [];
  let size = 0;
  let isWhole = isAll;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      size += value.length;
      if (size > HEAD_BYTES) {
        isWhole = false;
        reader.cancel().catch(() => {});
        break;
      }
    }
  } catch {
    // The beginning of a larger file ends within a block.
    isWhole = false;
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return { bytes, isWhole };
}

/** The mark of the file decides, then what is given, then what its bytes permit. */
function decode(bytes, isWhole, given) {
  const starts = (...mark) => mark.every((byte, at) => bytes[at] === byte);
  const as = (encoding, label = encoding) => ({ encoding, text: new TextDecoder(label, { ignoreBOM: encoding === "utf-8" }).decode(bytes) });
  if (starts(0xff, 0xfe)) return as("utf-16", "utf-16le");
  if (starts(0xfe, 0xff)) return as("utf-16", "utf-16be");
  if (given === "utf-16") return as("utf-16", hasHigherByteFirst(bytes) ? "utf-16be" : "utf-16le");
  if (bytes.includes(0)) return { encoding: "binary", text: null };
  if (given && !starts(0xef, 0xbb, 0xbf)) return as(given);
  try {
    // As a stream, since the last character may be cut.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: !isWhole });
    return { encoding: "utf-8", text };
  } catch {
    return as("windows-1252");
  }
}

/** ASCII in UTF-16 has its zeros first then. */
function hasHigherByteFirst(bytes) {
  const zeros = (from) => bytes.subarray(0, ROWS_FOR_TYPES).filter((byte, at) => at % 2 === from && byte === 0).length;
  return zeros(0) > zeros(1);
}

function isNamedCsv(name) {
  return /\.(csv|tsv|tab)(\.gz|\.zst)?$/i.test(name);
}

/**
 * @typedef {object} Csv
 * @property {string} delimiter one of `DELIMITERS`
 * @property {Column[]} columns
 * @property {string[][]} rows
 * @property {boolean} isWhole whether `rows` is all of the file
 * @property {{line: number, fields: number}[]} irregular rows with another number of fields than the header
 */

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {"integer"|"decimal"|"date"|"text"|"empty"} type
 * @property {number} distinct how many different values there are
 * @property {{total: number, line: number, value: string}|null} notWhole the values that are not whole numbers
 */

/** @returns {Csv|null} `null` if it does not look like CSV */
function readCsv(text, isWhole, isNamed, dialect) {
  const { announced, body } = withoutAnnouncement(text.startsWith("\ufeff") ? text.slice(1) : text);
  const delimiter = dialect.delimiter || announced || (findDelimiter(body, isWhole, dialect) ?? (isNamed ? "," : null));
  if (delimiter === null) return null;
  const [header, ...records] = parse(body, { ...dialect, delimiter }, ROWS_FOR_TYPES + 1, isWhole, announced ? 2 : 1);
  if (!header) return null;
  const rows = records.map(({ fields }) => fields);
  const whole = wholeNumber(dialect);
  const columns = header.fields.map((name, at) => column(name.trim(), at, records, whole));
  const irregular = records
    .filter(({ fields }) => fields.length !== columns.length)
    .map(({ line, fields }) => ({ line, fields: fields.length }));
  const isAll = isWhole && records.length < ROWS_FOR_TYPES;
  return { delimiter, columns, rows, isWhole: isAll, irregular };
}

/** Spreadsheet programs announce the delimiter on a first line, as in `sep=;`. */
function withoutAnnouncement(text) {
  const [line, announced] = /^sep=([,;\t|])(?:\r?\n|\r|$)/.exec(text) ?? ["", null];
  return { announced, body: text.slice(line.length) };
}

/** The delimiter that splits most of the first rows into as many fields as the header. */
function findDelimiter(text, isWhole, dialect) {
  if (/^\s*[{[<]/.test(text)) return null;
  let best = null;
  for (const delimiter of Object.keys(DELIMITERS)) {
    const [header, ...rows] = parse(text, { ...dialect, delimiter }, ROWS_FOR_DELIMITER, isWhole);
    const fields = header?.fields.length ?? 0;
    if (fields < 2 || header.fields.some((name) => name.trim() === "")) continue;
    const regular = rows.length ? rows.filter((row) => row.fields.length === fields).length / rows.length : 1;
    if (regular < REGULAR) continue;
    if (!best || regular > best.regular || (regular === best.regular && fields > best.fields)) best = { delimiter, regular, fields };
  }
  return best?.delimiter ?? null;
}

function column(name, at, records, whole) {
  const values = records.map(({ fields }) => fields[at] ?? "");
  const odd = records.filter(({ fields }) => at < fields.length && !whole.test(fields[at]));
  const notWhole = odd.length ? { total: odd.length, line: odd[0].line, value: odd[0].fields[at] } : null;
  const given = values.filter((value) => value !== "");
  const all = (test) => given.length > 0 && given.every(test);
  const type = given.length === 0 ? "empty"
    : all((value) => whole.test(value)) ? "integer"
    : all((value) => /^-?\d*[.,]?\d+(e[+-]?\d+)?$/i.test(value)) ? "decimal"
    : all(isDate) ? "date"
    : "text";
  return { name, type, distinct: new Set(given).size, notWhole };
}

/** Whether a text is a real day as `YYYY-MM-DD`. */
function isDate(text) {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}
