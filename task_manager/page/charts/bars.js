// Horizontal bars for names with values. The chart is a table, so it needs no other one beside it.

import { h, replace, svg } from "../dom.js";
import { amount, number } from "../format.js";
import { onUpdate } from "./plot.js";

/**
 * Bars in the order of the data.
 *
 * @param {{bars: {name: string, value: number, href?: string}[], unit?: string, label: string,
 *   heading?: string}} data `heading` is that of the names.
 */
export function barChart(data) {
  let shown = { ...data };
  const table = h("table", { class: "chart-bars" });
  const figure = h("figure", { class: "chart" }, h("figcaption", { class: "chart-head" }, h("span", { class: "chart-label" }, data.label)), table);
  const update = (changes) => {
    shown = { ...shown, ...changes };
    replace(table, content(shown));
  };
  onUpdate(figure, update);
  update({});
  return figure;
}

function content({ bars, unit, heading = "Name" }) {
  const most = bars.reduce((high, { value }) => Math.max(high, value), 0);
  return [
    h("colgroup", {}, h("col", { class: "chart-bar-names" }), h("col"), h("col", { class: "chart-bar-values" })),
    h("thead", { class: "hidden-text" }, h("tr", {}, h("th", { scope: "col" }, heading), h("th", { scope: "col" }, "Bar"), h("th", { scope: "col" }, unit ?? "Value"))),
    h("tbody", {}, bars.length ? bars.map((bar) => row(bar, most, unit)) : h("tr", {}, h("td", { class: "soft" }, "Nothing in this period"))),
  ];
}

function row({ name, value, href }, most, unit) {
  const share = most > 0 ? Math.max(0, (value / most) * 100) : 0;
  const text = unit ? amount(value, unit) : number(value);
  return h(
    "tr",
    { title: `${name}: ${text}` },
    h("th", { scope: "row" }, href ? h("a", { class: "name", href }, name) : h("span", { class: "name" }, name)),
    h("td", { "aria-hidden": "true" }, svg("svg", { class: "chart-bar" }, svg("rect", { class: "chart-bar-ground", width: "100%", height: "100%", rx: 3 }), svg("rect", { class: "series-1", width: `${share}%`, height: "100%", rx: 3 }))),
    h("td", { class: "numeric nowrap" }, unit === "bytes" ? text : number(value)),
  );
}
