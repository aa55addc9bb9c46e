// Reads the beginning of a file to show it and to guess what it is. The server reads the whole file and decides
// alone; what is found here only sets defaults.

const HEAD_BYTES = 256 * 1024;
const ROWS_FOR_TYPES = 1_000;
const ROWS_FOR_DELIMITER = 50;
const WHOLE = /^-?\d+$/;
/** The part of the rows that must have as many fields as the header. */
const REGULAR = 0.8;

/** Encodings as the server names them. */
export const ENCODINGS = { "utf-8": "UTF-8", "windows-1252": "Windows-1252", "utf-16": "UTF-16" };
export const DELIMITERS = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars" };

/**
 * What the beginning of a file says about it.
 *
 * @returns {Promise<{compression: "gzip"|"zstd"|null, encoding: "utf-8"|"utf-16"|"other"|"binary"|null,
 *   csv: Csv|null}>} `encoding` is `null` if the file cannot be decompressed here
 */
export async function inspect(file) {
  const { bytes, compression, isWhole } = await readHead(file);
  if (!bytes) return { compression, encoding: null, csv: null };
  const { encoding, text } = decode(bytes, isWhole);
  const csv = text === null ? null : readCsv(text, isWhole, isNamedCsv(file.name));
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

function decode(bytes, isWhole) {
  const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  if (isUtf16) return { encoding: "utf-16", text: new TextDecoder(bytes[0] === 0xff ? "utf-16le" : "utf-16be").decode(bytes) };
  if (bytes.includes(0)) return { encoding: "binary", text: null };
  try {
    // As a stream, since the last character may be cut.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: !isWhole });
    return { encoding: "utf-8", text };
  } catch {
    return { encoding: "other", text: new TextDecoder("windows-1252").decode(bytes) };
  }
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
function readCsv(text, isWhole, isNamed) {
  const { announced, body } = withoutAnnouncement(text.startsWith("\ufeff") ? text.slice(1) : text);
  const delimiter = announced ?? findDelimiter(body, isWhole) ?? (isNamed ? "," : null);
  if (delimiter === null) return null;
  const [header, ...records] = parse(body, delimiter, ROWS_FOR_TYPES + 1, isWhole, announced ? 2 : 1);
  if (!header) return null;
  const rows = records.map(({ fields }) => fields);
  const columns = header.fields.map((name, at) => column(name.trim(), at, records));
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
function findDelimiter(text, isWhole) {
  if (/^\s*[{[<]/.test(text)) return null;
  let best = null;
  for (const delimiter of Object.keys(DELIMITERS)) {
    const [header, ...rows] = parse(text, delimiter, ROWS_FOR_DELIMITER, isWhole);
    const fields = header?.fields.length ?? 0;
    if (fields < 2 || header.fields.some((name) => name.trim() === "")) continue;
    const regular = rows.length ? rows.filter((row) => row.fields.length === fields).length / rows.length : 1;
    if (regular < REGULAR) continue;
    if (!best || regular > best.regular || (regular === best.regular && fields > best.fields)) best = { delimiter, regular, fields };
  }
  return best?.delimiter ?? null;
}

/**
 * The first records of a text by RFC 4180, with the lines where they begin. Blank lines are skipped, and so is
 * a last record that may be cut.
 *
 * @returns {{line: number, fields: string[]}[]}
 */
export function parse(text, delimiter, limit, isWhole, firstLine = 1) {
  const records = [];
  let line = firstLine;
  let at = 0;
  while (at < text.length && records.length < limit) {
    const first = line;
    const fields = [];
    let isEnd = false;
    while (!isEnd) {
      let value = "";
      if (text[at] === '"') {
        at += 1;
        for (;;) {
          const quote = text.indexOf('"', at);
          if (quote < 0) {
            value += text.slice(at);
            at = text.length;
            break;
          }
          value += text.slice(at, quote);
          at = quote + 1;
          if (text[at] !== '"') break;
          value += '"';
          at += 1;
        }
        line += value.split("\n").length - 1;
      }
      let stop = at;
      while (stop < text.length && text[stop] !== delimiter && text[stop] !== "\n") stop += 1;
      value += text.slice(at, stop);
      isEnd = text[stop] !== delimiter || stop >= text.length;
      at = stop + 1;
      if (isEnd && stop >= text.length && !isWhole) return records;
      fields.push(isEnd && value.endsWith("\r") ? value.slice(0, -1) : value);
    }
    line += 1;
    if (fields.length > 1 || fields[0] !== "") records.push({ line: first, fields });
  }
  return records;
}

function column(name, at, records) {
  const values = records.map(({ fields }) => fields[at] ?? "");
  const odd = records.filter(({ fields }) => at < fields.length && !WHOLE.test(fields[at]));
  const notWhole = odd.length ? { total: odd.length, line: odd[0].line, value: odd[0].fields[at] } : null;
  const given = values.filter((value) => value !== "");
  const all = (test) => given.length > 0 && given.every(test);
  const type = given.length === 0 ? "empty"
    : all((value) => WHOLE.test(value)) ? "integer"
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
