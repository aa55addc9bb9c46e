// A plot over time: axes, legend, tooltip by pointer and by keyboard, and the same as a table.
//
// What is drawn comes from a model: {times, from, to, low, high, finest, utc, withClock, names,
// classes, dots, values(at), marks(x, y)}.

import { h, replace, svg } from "../dom.js";
import { amount, bytes, number } from "../format.js";
import { linear, tickText, timeText, timeTicks, valueTicks } from "./scale.js";

const TOP = 10;
const BOTTOM = 22;
const RIGHT = 12;
/** About the width of a character of an axis. */
const CHARACTER = 7;
const TABLE_ROWS = 1_000;

const updates = new WeakMap();

/** Shows new data in a chart, which keeps its place, size and focus. */
export function updateChart(chart, data) {
  updates.get(chart)(data);
}

/** Makes `updateChart` work for an element. */
export function onUpdate(chart, update) {
  updates.set(chart, update);
}

/**
 * A plot of data.
 *
 * @param {object} data `label`, `unit`, `height`, and what `modelOf` reads.
 * @param {(data: object) => object} modelOf
 */
export function plot(data, modelOf) {
  let shown = { ...data };
  let model = modelOf(shown);
  let active = null;
  let geometry = null;

  const drawing = svg("svg", { class: "chart-svg", role: "img", tabindex: "0" });
  const tip = h("div", { class: "chart-tip", role: "status", hidden: true });
  const box = h("div", { class: "chart-box", style: { height: `${data.height ?? 200}px` } }, drawing, tip);
  const legend = h("div", { class: "chart-legend" });
  const table = h("div", { class: "hidden-text" });
  const toggle = h("button", { class: "link", type: "button", "aria-pressed": "false", onclick: () => showTable(!box.hidden) }, "Table");
  const head = h("figcaption", { class: "chart-head" }, h("span", { class: "chart-label" }, data.label, unitOf(data)), toggle, legend);
  const figure = h("figure", { class: "chart" }, head, box, table);

  function showTable(isTable) {
    box.hidden = isTable;
    table.className = isTable ? "chart-table" : "hidden-text";
    toggle.textContent = isTable ? "Chart" : "Table";
    toggle.setAttribute("aria-pressed", String(isTable));
  }

  function draw() {
    const width = box.clientWidth;
    if (!width) return;
    const isEmpty = !model.times.length;
    geometry = isEmpty ? null : geometryOf(model, shown, width, box.clientHeight);
    drawing.setAttribute("viewBox", `0 0 ${width} ${box.clientHeight}`);
    drawing.setAttribute("aria-label", `${shown.label}. ${summary(model, shown.unit)} Arrow keys show single values.`);
    replace(drawing, isEmpty ? nothing(width, box.clientHeight) : [axes(geometry, shown.unit), model.marks(geometry.x, geometry.y)]);
    point(active);
  }

  function point(at) {
    drawing.querySelector(".chart-cursor")?.remove();
    active = at === null || !geometry ? null : Math.max(0, Math.min(at, model.times.length - 1));
    tip.hidden = active === null;
    if (active === null) return;
    const x = geometry.x(model.times[active]);
    drawing.append(cursor(model, geometry, active, x));
    replace(tip, tipOf(model, shown.unit, active));
    const isLeft = x > box.clientWidth / 2;
    tip.style.setProperty("left", isLeft ? "auto" : `${x + 10}px`);
    tip.style.setProperty("right", isLeft ? `${box.clientWidth - x + 10}px` : "auto");
  }

  drawing.addEventListener("pointermove", (event) => {
    if (!geometry) return;
    point(nearest(model.times, geometry.x, event.clientX - drawing.getBoundingClientRect().left));
  });
  drawing.addEventListener("pointerleave", () => point(null));
  drawing.addEventListener("blur", () => point(null));
  drawing.addEventListener("keydown", (event) => {
    const last = model.times.length - 1;
    const next = {
      ArrowLeft: (active ?? last + 1) - 1,
      ArrowRight: (active ?? -1) + 1,
      Home: 0,
      End: last,
      Escape: null,
    };
    if (!(event.key in next) || !geometry) return;
    event.preventDefault();
    point(next[event.key]);
  });

  function update(changes) {
    shown = { ...shown, ...changes };
    model = modelOf(shown);
    replace(legend, model.names.length > 1 && model.names.map((name, at) => key(name, model.classes[at])));
    replace(table, tableOf(model, shown));
    toggle.hidden = !model.times.length;
    if (toggle.hidden) showTable(false);
    draw();
  }

  onUpdate(figure, update);
  update({});
  new ResizeObserver(draw).observe(box);
  return figure;
}

function geometryOf(model, { unit }, width, height) {
  const ticks = valueTicks(model.low, model.high, height < 120 ? 2 : 4, unit);
  const left = Math.max(...ticks.map((tick) => tickText(tick, unit).length)) * CHARACTER + 8;
  const [from, to] = model.from === model.to ? [model.from - 1, model.to + 1] : [model.from, model.to];
  return {
    width,
    height,
    left,
    ticks,
    times: timeTicks(from, to, Math.floor((width - left) / 72), model),
    x: linear(from, to, left, width - RIGHT),
    y: linear(ticks[0], ticks.at(-1), height - BOTTOM, TOP),
  };
}

function axes({ width, height, left, ticks, times, x, y }, unit) {
  const values = ticks.map((tick) => [
    svg("line", { class: tick === 0 ? "chart-base" : "chart-grid", x1: left, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
    svg("text", { class: "chart-tick", x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, tickText(tick, unit)),
  ]);
  // A text that would be cut at the edge is left out; its line stays.
  const isWhole = (tick) => x(tick.at) + tick.text.length * CHARACTER / 2 <= width;
  const labels = times.map((tick) => [
    svg("line", { class: "chart-base", x1: x(tick.at), x2: x(tick.at), y1: height - BOTTOM, y2: height - BOTTOM + 4 }),
    isWhole(tick) && svg("text", { class: "chart-tick", x: x(tick.at), y: height - 4, "text-anchor": "middle" }, tick.text),
  ]);
  return svg("g", { "aria-hidden": "true" }, values, labels);
}

/** The unit behind the label, if that does not name it; the ticks of sizes have their own. */
function unitOf({ label, unit }) {
  return unit && unit !== "bytes" && !label.toLowerCase().includes(unit) && h("span", { class: "soft small" }, ` ${unit}`);
}

function nothing(width, height) {
  return svg("text", { class: "chart-tick", x: width / 2, y: height / 2, "text-anchor": "middle" }, "Nothing in this period");
}

function cursor(model, { height, y }, at, x) {
  const dots = model.dots ? model.values(at).map((value, series) =>
    value !== null && svg("circle", { class: `chart-dot ${model.classes[series]}`, cx: x, cy: y(value), r: 4 })) : [];
  return svg("g", { class: "chart-cursor" }, svg("line", { x1: x, x2: x, y1: TOP, y2: height - BOTTOM }), dots);
}

function tipOf(model, unit, at) {
  const rows = model.values(at).map((value, series) => value !== null && h(
    "div",
    { class: "chart-tip-row" },
    key(model.names[series], model.classes[series]),
    h("b", {}, valueText(value, unit)),
  ));
  return [h("div", { class: "soft" }, heading(model, at)), rows];
}

function key(name, className) {
  return h("span", { class: "chart-key" }, h("i", { class: className }), h("span", { class: "name", title: name }, name));
}

function heading(model, at) {
  return timeText(model.times[at], model.utc, model.withClock);
}

function valueText(value, unit) {
  return unit ? amount(value, unit) : number(value);
}

/** The unit of a table stands above it. */
function cellText(value, unit) {
  return unit === "bytes" ? bytes(value) : number(value);
}

function summary(model, unit) {
  if (!model.times.length) return "Nothing in this period.";
  const [from, to] = [heading(model, 0), heading(model, model.times.length - 1)];
  return `${from} to ${to}, at most ${valueText(model.high, unit)}.`;
}

function tableOf(model, { label, unit }) {
  const rows = model.times.slice(0, TABLE_ROWS);
  return h(
    "table",
    {},
    h("caption", { class: "hidden-text" }, unit ? `${label} (${unit})` : label),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), model.names.map((name) => h("th", { scope: "col", class: "numeric" }, name)))),
    h("tbody", {}, rows.map((_, at) => h(
      "tr",
      {},
      h("th", { scope: "row" }, heading(model, at)),
      model.values(at).map((value) => h("td", { class: "numeric" }, value === null ? "–" : cellText(value, unit))),
    ))),
    rows.length < model.times.length && h("tfoot", {}, h("tr", {}, h("td", { colspan: model.names.length + 1 }, `The first ${number(TABLE_ROWS)} of ${number(model.times.length)}`))),
  );
}

/** The place of the time that is drawn nearest to a position; the times are sorted. */
function nearest(times, x, position) {
  let [low, high] = [0, times.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x(times[middle]) < position) low = middle;
    else high = middle;
  }
  return position - x(times[low]) < x(times[high]) - position ? low : high;
}
