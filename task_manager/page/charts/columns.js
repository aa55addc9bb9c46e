// A chart of columns over time: counts per minute, hour or day.

import { svg } from "../dom.js";
import { plot } from "./plot.js";
import { DAY, readsUtc } from "./scale.js";

const WIDEST = 40;
/** A few columns do not fill the plot: the time before them is shown too. */
const FEWEST = 7;

/**
 * Columns over time. A column has one `value`, or a `good` part with a `bad` one on top of it.
 *
 * @param {{columns: {time: string, value?: number, good?: number, bad?: number}[], unit?: string,
 *   label: string, height?: number, names?: {value?: string, good?: string, bad?: string}, step?: number}} data
 *   Oldest first; `step` is the width of a column in seconds, if it is not that of the smallest difference.
 */
export function columnChart(data) {
  return plot(data, modelOf);
}

function modelOf({ columns, names = {}, unit, step }) {
  const texts = columns.map(({ time }) => time);
  const times = texts.map(Date.parse);
  const isSplit = columns.some(({ good }) => good !== undefined);
  const parts = isSplit ? ["good", "bad"] : ["value"];
  const defaults = { value: unit ?? "Value", good: "Finished", bad: "Failed" };
  const width = step ? step * 1000 : smallestStep(times);
  const total = (column) => parts.reduce((sum, part) => sum + (column[part] ?? 0), 0);
  return {
    times,
    from: Math.min(times[0], times.at(-1) - (FEWEST - 1) * width) - width / 2,
    to: times.at(-1) + width / 2,
    finest: width,
    low: 0,
    high: columns.reduce((high, column) => Math.max(high, total(column)), 0),
    utc: readsUtc(texts),
    withClock: texts.some((text) => text.length > 10),
    names: parts.map((part) => names[part] ?? defaults[part]),
    classes: isSplit ? ["series-good", "series-bad"] : ["series-1"],
    dots: false,
    values: (at) => parts.map((part) => columns[at][part] ?? 0),
    marks: (x, y) => columns.map((column, at) => stack(column, parts, x(times[at]), columnWidth(x, width), y)),
  };
}

function columnWidth(x, step) {
  const whole = x(step) - x(0);
  return Math.max(1, Math.min(WIDEST, whole > 4 ? whole - Math.max(1, whole * 0.2) : whole));
}

function stack(column, parts, centre, width, y) {
  let below = 0;
  return parts.map((part) => {
    const value = column[part] ?? 0;
    if (!value) return null;
    const [top, bottom] = [y(below + value), y(below)];
    below += value;
    // A small value beside large ones is still seen.
    const height = Math.max(1.5, bottom - top);
    return svg("rect", { class: part === "value" ? "series-1" : `series-${part}`, x: centre - width / 2, y: bottom - height, width, height, rx: Math.min(2, width / 4) });
  });
}

function smallestStep(times) {
  const steps = times.slice(1).map((time, at) => time - times[at]).filter((step) => step > 0);
  return steps.length ? steps.reduce((left, right) => Math.min(left, right)) : DAY;
}
