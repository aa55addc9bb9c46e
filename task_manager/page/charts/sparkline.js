// A small line without axes, beside a number.

import { h, replace, svg } from "../dom.js";
import { amount, number } from "../format.js";
import { linear } from "./scale.js";
import { onUpdate } from "./plot.js";

const WIDTH = 120;
const HEIGHT = 32;

/**
 * A line of values at equal distances.
 *
 * @param {{points: [string, number][], label: string, unit?: string, tone?: "1"|"good"|"bad"}} data
 */
export function sparkline(data) {
  let shown = { ...data };
  const drawing = svg("svg", { class: "sparkline", role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" });
  const element = h("div", { class: "sparkline-box" }, drawing);
  const update = (changes) => {
    shown = { ...shown, ...changes };
    const text = summary(shown);
    drawing.setAttribute("aria-label", text);
    element.title = text;
    replace(drawing, marks(shown));
  };
  onUpdate(element, update);
  update({});
  return element;
}

function marks({ points, tone = "1" }) {
  const values = points.map(([, value]) => value ?? 0);
  const most = values.reduce((left, right) => Math.max(left, right), 0);
  const x = linear(0, Math.max(1, values.length - 1), 1, WIDTH - 1);
  const y = linear(0, most || 1, HEIGHT - 2, 2);
  const line = values.map((value, at) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
  if (!line) return null;
  const area = `M${x(0)} ${HEIGHT}L${line}L${x(values.length - 1)} ${HEIGHT}Z`;
  return svg("g", { class: `series-${tone}` }, svg("path", { class: "chart-area", d: area }), svg("path", { class: "chart-line", d: `M${line}` }));
}

function summary({ points, label, unit }) {
  const text = (value) => (unit ? amount(value, unit) : number(value));
  const most = points.reduce((high, [, value]) => Math.max(high, value ?? 0), 0);
  return points.length ? `${label}: now ${text(points.at(-1)[1])}, at most ${text(most)}` : `${label}: nothing yet`;
}
