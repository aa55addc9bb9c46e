// A chart of lines over time.

import { svg } from "../dom.js";
import { plot } from "./plot.js";
import { readsUtc } from "./scale.js";

/** Up to this many points, each one is marked. */
const MARKED = 40;
const COLOURS = 5;

/**
 * Lines over time; up to five series have a colour of their own, and one with `rest: true` a grey one.
 *
 * @param {{series: {name: string, points: [string, number|null][], rest?: boolean}[], unit?: string,
 *   label: string, height?: number}} data Times are RFC 3339 or days, oldest first; `unit` is `bytes` or a
 *   plural such as `rows`; `null` leaves a gap.
 */
export function lineChart(data) {
  return plot(data, modelOf);
}

function modelOf({ series }) {
  const texts = [...new Set(series.flatMap(({ points }) => points.map(([time]) => time)))];
  const times = [...new Set(texts.map(Date.parse))].sort((left, right) => left - right);
  const byTime = series.map(({ points }) => new Map(points.map(([time, value]) => [Date.parse(time), numeric(value)])));
  const values = byTime.flatMap((map) => [...map.values()]).filter((value) => value !== null);
  const classes = series.map(({ rest }, at) => (rest || at >= COLOURS ? "series-rest" : `series-${at + 1}`));
  return {
    times,
    from: times[0],
    to: times.at(-1),
    low: least(values),
    high: most(values),
    utc: readsUtc(texts),
    withClock: texts.some((text) => text.length > 10),
    names: series.map(({ name }) => name),
    classes,
    dots: true,
    values: (at) => byTime.map((map) => map.get(times[at]) ?? null),
    marks: (x, y) => byTime.map((map, at) => line(map, classes[at], x, y)),
  };
}

function line(map, className, x, y) {
  let path = "";
  let isOpen = false;
  for (const [time, value] of map) {
    if (value !== null) path += `${isOpen ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
    isOpen = value !== null;
  }
  const points = map.size > MARKED ? [] : [...map].filter(([, value]) => value !== null);
  return svg(
    "g",
    { class: className },
    svg("path", { class: "chart-line", d: path }),
    points.map(([time, value]) => svg("circle", { class: "chart-point", cx: x(time), cy: y(value), r: 2.5 })),
  );
}

function numeric(value) {
  return value === null || value === undefined ? null : Number(value);
}

// Not by Math.max(...values), whose arguments are limited in number.
function most(values) {
  return values.reduce((left, right) => Math.max(left, right), 0);
}

function least(values) {
  return values.reduce((left, right) => Math.min(left, right), 0);
}
