// The first rows of a file, with a choice for each column: group by it, sum it, or leave it out.

import { h } from "../../dom.js";
import { sheet } from "./sheet.js";

const SHOWN_ROWS = 20;
const TYPES = { integer: "whole numbers", decimal: "decimal numbers", date: "days", text: "text", empty: "empty" };
const ROLES = [["group", "Group"], ["sum", "Sum"], ["", "Leave out"]];

/** @param {(at: number, role: "group"|"sum"|null) => void} onChoose is called with the column's position */
export function columnSheet(item, onChoose) {
  const { csv, roles, kind, id } = item;
  const isChoice = kind === "csv_aggregation";
  return sheet({
    label: `The first rows of ${item.name}`,
    columns: csv.columns.map(({ name }) => name),
    rows: csv.rows.slice(0, SHOWN_ROWS),
    isNumeric: csv.columns.map(({ type }) => type === "integer" || type === "decimal"),
    heads: csv.columns.map(({ name, type }, at) => [
      h("div", { class: "column-type" }, TYPES[type]),
      isChoice && roleChoice(`role-${id}-${at}`, name, roles[at] ?? null, (role) => onChoose(at, role)),
    ]),
  });
}

function roleChoice(group, column, chosen, onChange) {
  return h(
    "fieldset",
    { class: "roles" },
    h("legend", { class: "hidden-text" }, `Column ${column}`),
    ROLES.map(([role, label]) =>
      h(
        "label",
        { class: `role role-${role || "none"}`, title: role ? null : "Leave this column out" },
        h("input", { type: "radio", class: "hidden-text", name: group, value: role, checked: (chosen ?? "") === role, onchange: () => onChange(role || null) }),
        role ? label : [h("span", { "aria-hidden": "true" }, "–"), h("span", { class: "hidden-text" }, label)],
      ),
    ),
  );
}
