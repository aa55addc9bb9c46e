// Scales and their ticks: round numbers, round times.

import { bytes, usesUtc } from "../format.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const PLAIN = new Intl.NumberFormat("en-US");

/** A function from values in `[from, to]` to positions in `[start, end]`. */
export function linear(from, to, start, end) {
  const factor = to === from ? 0 : (end - start) / (to - from);
  return (value) => start + (value - from) * factor;
}

/**
 * About `count` round numbers around the range, which always includes 0.
 *
 * @param {string} unit Sizes (`bytes`) are round in powers of 1024.
 */
export function valueTicks(low, high, count, unit) {
  const [least, most] = [Math.min(0, low), Math.max(0, high)];
  const range = most - least || 1;
  const base = unit === "bytes" ? 1024 ** Math.floor(Math.log(Math.max(1, range)) / Math.log(1024)) : 1;
  const rough = range / base / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * 0.999);
  const isWhole = Number.isInteger(low) && Number.isInteger(high);
  const step = Math.max(factor * power * base, isWhole || unit === "bytes" ? 1 : 0);
  const first = Math.floor(least / step + 1e-9);
  const last = Math.max(Math.ceil(most / step - 1e-9), first + 1);
  // Multiples of the step, instead of sums, which would collect errors.
  return Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)));
}

/** The text of a tick: `2,500`, `1.2M`, `64.0 KiB`. */
export function tickText(value, unit) {
  if (unit === "bytes") return bytes(value).replace(".0 ", " ");
  return Math.abs(value) >= 10_000 ? COMPACT.format(value) : PLAIN.format(value);
}

const STEPS = [
  1_000, 5_000, 15_000, 30_000,
  MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
  DAY, 2 * DAY, 7 * DAY, 14 * DAY,
];
const MONTH_STEPS = [1, 3, 6, 12, 24, 60, 120, 240, 600, 1200];

/**
 * At most about `count` round times in a range, as `{at, text}`.
 *
 * @param {{utc: boolean, finest?: number}} choice Whether the times are read on the clock of UTC, and how
 *   many milliseconds lie between two ticks at least.
 */
export function timeTicks(from, to, count, { utc, finest = 0 }) {
  const rough = Math.max(finest, (to - from) / Math.max(1, count));
  const step = STEPS.find((candidate) => candidate >= rough);
  const [start, end] = [wall(from, utc), wall(to, utc)];
  const ticks = step ? stepsOf(start, end, step) : monthsOf(start, end, rough);
  return ticks.map((tick) => ({ at: unwall(tick, utc), text: timeTickText(tick, step) }));
}

function stepsOf(start, end, step) {
  const ticks = [];
  for (let tick = Math.ceil(start / step) * step; tick <= end; tick += step) ticks.push(tick);
  return ticks;
}

function monthsOf(start, end, rough) {
  const months = rough / (30.44 * DAY);
  const step = MONTH_STEPS.find((candidate) => candidate >= months) ?? MONTH_STEPS.at(-1);
  const first = new Date(start);
  const index = first.getUTCFullYear() * 12 + first.getUTCMonth();
  const ticks = [];
  const tickOf = (month) => Date.UTC(Math.floor(month / 12), month % 12);
  for (let month = Math.ceil(index / step) * step; tickOf(month) <= end; month += step) {
    if (tickOf(month) >= start) ticks.push(tickOf(month));
  }
  return ticks;
}

function timeTickText(tick, step) {
  const date = new Date(tick);
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  if (!step) return date.getUTCMonth() === 0 ? String(date.getUTCFullYear()) : MONTHS[date.getUTCMonth()];
  if (step >= DAY) return day;
  const text = date.toISOString();
  if (tick % DAY === 0) return day;
  return step < MINUTE ? text.slice(11, 19) : text.slice(11, 16);
}

/** Whether times are shown on the clock of UTC: days without a time have no zone. */
export function readsUtc(times) {
  return usesUtc() || times.every((time) => String(time).length <= 10);
}

/** `30 Nov 2026`, or with the time of the day `30 Nov 2026, 14:05`. */
export function timeText(time, utc, withClock) {
  const date = new Date(wall(time, utc));
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  const clock = date.toISOString().slice(11, date.getUTCSeconds() ? 19 : 16);
  return withClock ? `${day}, ${clock}` : day;
}

/** The time on the clock of the zone, as if it were UTC: its parts are read by the UTC functions. */
function wall(time, utc) {
  return utc ? time : time - new Date(time).getTimezoneOffset() * MINUTE;
}

function unwall(time, utc) {
  return utc ? time : time + new Date(time).getTimezoneOffset() * MINUTE;
}
