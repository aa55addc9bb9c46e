// Parses CSV in any dialect (dialect.js).

import { DEFAULT_QUOTE } from "./dialect.js";

/**
 * The first records of a text by RFC 4180, with the lines where they begin. Blank lines and comments are skipped,
 * and so is a last record that may be cut.
 *
 * @param {{delimiter: string, quote?: string, escape?: string, comment?: string}} dialect
 * @returns {{line: number, fields: string[]}[]}
 */
export function parse(text, { delimiter, quote, escape, comment }, limit, isWhole, firstLine = 1) {
  const records = [];
  let line = firstLine;
  let at = 0;
  while (at < text.length && records.length < limit) {
    if (text[at] === comment) {
      const end = text.indexOf("\n", at);
      if (end < 0) return records;
      at = end + 1;
      line += 1;
      continue;
    }
    const first = line;
    const fields = [];
    let isEnd = false;
    while (!isEnd) {
      let value = "";
      if (text[at] === (quote || DEFAULT_QUOTE)) {
        [value, at] = quoted(text, at + 1, quote || DEFAULT_QUOTE, escape);
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

/** A field from behind its first quote, and the position after its last one. */
function quoted(text, from, quote, escape) {
  let value = "";
  let at = from;
  while (at < text.length) {
    let stop = at;
    while (stop < text.length && text[stop] !== quote && text[stop] !== escape) stop += 1;
    value += text.slice(at, stop);
    const isPart = text[stop] === escape || text[stop + 1] === quote;
    if (!isPart) return [value, stop + 1];
    value += text[stop + 1] ?? "";
    at = stop + 2;
  }
  return [value, text.length];
}
