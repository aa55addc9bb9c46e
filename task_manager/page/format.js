// How numbers, sizes, times and names are written, everywhere the same.

import { h } from "./dom.js";

const GROUPED = new Intl.NumberFormat("en-US");

/** `1,234,567`; a dash for nothing. */
export function number(value) {
  return value === null || value === undefined ? "–" : GROUPED.format(value);
}

/** `1 task`, `2,000 tasks`. */
export function count(value, singular, plural = `${singular}s`) {
  return `${number(value)} ${value === 1 ? singular : plural}`;
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** `12.4 MiB`; a dash for nothing. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** `12.4 MiB/s`, or `1,200 rows/s`. */
export function rate(perSecond, unit = "bytes") {
  if (!perSecond) return "";
  return unit === "bytes" ? `${bytes(perSecond)}/s` : `${number(Math.round(perSecond))} ${unit}/s`;
}

/** An amount of progress: `3.1 MiB` or `12,000 rows`. */
export function amount(value, unit) {
  return unit === "bytes" ? bytes(value) : `${number(value)} ${unit}`;
}

/** `12 rejected so far`, for a running task; nothing if there are none. */
export function rejectedSoFar(progress) {
  return progress?.rejected_rows > 0 ? `${number(progress.rejected_rows)} rejected so far` : null;
}

/** `340 ms`, `12.3 s`, `4 min 5 s`, `2 h 10 min`, `3 d 4 h`; a dash for nothing. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [whole / 86_400, whole / 3_600, whole / 60].map(Math.floor);
  if (days) return two(days, "d", hours % 24, "h");
  if (hours) return two(hours, "h", minutes % 60, "min");
  return two(minutes, "min", whole % 60, "s");
}

function two(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

// --- Times -------------------------------------------------------------------------------------

const ZONE_KEY = "time-zone";

/** Whether exact times are shown in UTC instead of the browser's zone. */
export function usesUtc() {
  return localStorage.getItem(ZONE_KEY) === "utc";
}

/** Chooses UTC or the browser's zone. */
export function chooseUtc(utc) {
  localStorage.setItem(ZONE_KEY, utc ? "utc" : "local");
  document.querySelectorAll("time[datetime]").forEach(refresh);
}

// Making a formatter takes longer than all the rest of a row of a table.
const FORMATS = [undefined, "UTC"].map(
  (timeZone) => new Intl.DateTimeFormat("en-GB", {
    year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23", timeZoneName: "short", timeZone,
  }),
);

/** `2026-11-30 14:05:09 UTC`, in the chosen zone. */
export function exactTime(time) {
  const parts = FORMATS[Number(usesUtc())].formatToParts(new Date(time));
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
}

/** `just now`, `in 5 min`, `3 h ago`. */
export function relativeTime(time, now = Date.now()) {
  const seconds = (now - new Date(time).getTime()) / 1000;
  const past = Math.abs(seconds);
  if (past < 5) return "just now";
  const [value, unit] =
    past < 60 ? [past, "s"]
    : past < 3_600 ? [past / 60, "min"]
    : past < 86_400 ? [past / 3_600, "h"]
    : [past / 86_400, "d"];
  return seconds > 0 ? `${Math.floor(value)} ${unit} ago` : `in ${Math.ceil(value)} ${unit}`;
}

/** A relative time that stays true, with the exact one on hover; a dash for nothing. */
export function time(value) {
  if (!value) return h("span", {}, "–");
  const element = h("time", { datetime: value });
  refresh(element);
  return element;
}

function refresh(element) {
  const value = element.getAttribute("datetime");
  element.textContent = relativeTime(value);
  element.title = exactTime(value);
}

setInterval(() => document.querySelectorAll("time[datetime]").forEach(refresh), 5_000);

// --- Names -------------------------------------------------------------------------------------

/** What kinds of tasks are called. */
export const KINDS = {
  csv_aggregation: "CSV aggregation",
  csv_preview: "CSV preview",
  file_statistics: "File statistics",
  data_upload: "Data upload",
  message_validation: "Message",
  user_event: "User event",
  report_email: "Report email",
  bulk_action: "Bulk action",
};

/** The name of a kind; an unknown one is shown as it is. */
export function kindName(kind) {
  return KINDS[kind] ?? kind;
}

/** All states, in the order of a task's life. */
export const STATES = [
  "initializing", "queued", "processing", "processed", "failed", "stopping", "stopped", "killed",
];

/** Whether nothing works on a task in this state. */
export function isEnded(state) {
  return ["processed", "failed", "stopped", "killed"].includes(state);
}

/** The first characters of an id and its last ones: ids that were made together begin alike. */
export function shortId(id) {
  return `${id.slice(0, 8)}…${id.slice(-4)}`;
}

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** A text in quotes for a POSIX shell. Characters that are not seen, or turn the direction of a line, are escaped. */
export function shellQuote(text) {
  if (INVISIBLE.test(text)) return `$'${Array.from(text, escaped).join("")}'`;
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function escaped(character) {
  if (character === "'" || character === "\\") return `\\${character}`;
  if (!INVISIBLE.test(character)) return character;
  return Array.from(new TextEncoder().encode(character), (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}
