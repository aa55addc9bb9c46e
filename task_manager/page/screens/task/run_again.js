// Runs an ended task again, as it was or with other parameters.

import { givenOf, OF_FILES, OF_NUMBERS } from "../../dialect.js";
import { dialectFields } from "../../dialect_fields.js";
import { h, replace } from "../../dom.js";
import { newKey, send } from "../../http.js";
import { problemBox } from "../../notices.js";
import { consequence } from "../../states.js";
import { taskName } from "../tasks/words.js";

/** Starts the task again; the answer is the new task. */
export function runAgain(task, parameters, key = newKey()) {
  return send("POST", task.links.run_again, { json: { parameters }, key });
}

/**
 * Asks for the parameters in a dialog, and runs the task again.
 *
 * @param {(task: object) => void} onStarted called with the new task
 */
export function openRunAgain(task, onStarted) {
  const fields = FORMS[task.kind]?.(task) ?? { elements: [], read: () => ({}) };
  const notice = h("div");
  const key = newKey();
  let sent = null;
  const close = () => {
    dialog.close();
    dialog.remove();
  };
  const submit = async (event) => {
    event.preventDefault();
    const parameters = fields.read();
    const content = JSON.stringify(parameters);
    replace(notice);
    start.disabled = true;
    try {
      // The same parameters are sent with the same key, so that a repeated request starts one task.
      const attempt = sent?.content === content ? sent.key : sent ? newKey() : key;
      sent = { content, key: attempt };
      const next = await runAgain(task, parameters, attempt);
      close();
      onStarted(next);
    } catch (problem) {
      replace(notice, problemBox(problem));
      start.disabled = false;
    }
  };
  const start = h("button", { class: "primary", type: "submit" }, "Run again");
  const dialog = h(
    "dialog",
    { class: "wide", "aria-labelledby": "again-title", oncancel: close },
    h("h2", { id: "again-title", class: "name" }, `Run ${taskName(task)} again`),
    h(
      "form",
      { class: "stack", onsubmit: submit },
      h("p", { class: "soft" }, consequence("run_again")),
      fields.elements,
      notice,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: close }, "Cancel"), start),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

const FORMS = {
  csv_aggregation(task) {
    const given = task.parameters ?? {};
    const columns = columnsField(task, given);
    const total = text(given.total_header, "As the column is called");
    const memory = text(given.memory_limit, "Default, such as 256MiB");
    const bad = badRows(given.on_bad_row ?? "fail");
    const dialect = moreOptions(given, [...OF_NUMBERS, ...OF_FILES]);
    return {
      elements: [
        columns.element,
        h("div", { class: "form-grid" }, field("Invalid rows", bad), field("Name of the last sum", total), field("Memory for the groups", memory)),
        dialect.element,
      ],
      read: () => ({ ...columns.read(), on_bad_row: bad.value, total_header: total.value.trim() || null, memory_limit: memory.value.trim() || null, ...dialect.read() }),
    };
  },
  data_upload(task) {
    const bad = badRows(task.parameters?.on_bad_row ?? "skip");
    const dialect = moreOptions(task.parameters ?? {}, OF_FILES);
    return {
      elements: [h("div", { class: "form-grid" }, field("Invalid rows", bad)), dialect.element],
      read: () => ({ on_bad_row: bad.value, ...dialect.read() }),
    };
  },
  csv_preview(task) {
    const dialect = dialectFields(task.parameters ?? {}, { parameters: OF_FILES, isOpen: true });
    return { elements: [dialect.element], read: dialect.read };
  },
};

function field(label, control) {
  return h("label", { class: "field" }, label, control);
}

function text(value, placeholder) {
  return h("input", { value: value ?? "", placeholder });
}

function badRows(value) {
  return select(value, [["fail", "Fail the task"], ["skip", "Leave them out and list them"]]);
}

function select(value, options) {
  return h("select", {}, options.map(([name, words]) => h("option", { value: name, selected: name === value }, words)));
}

/** How the file is written, open if the task was given some of it. */
function moreOptions(given, parameters) {
  return dialectFields(given, { parameters, isOpen: Object.keys(givenOf(given, parameters)).length > 0 });
}

/** Columns as check boxes where they are known, and as lines of text otherwise. */
function columnsField(task, given) {
  const known = columnsInFile(task);
  const [group, sum] = [given.group_by ?? [], given.sum ?? []];
  return known.length > 0 ? boxes(known, group, sum) : lines(group, sum);
}

/** The error of a missing column names those of the file, between backticks after `it has`. */
function columnsInFile({ error }) {
  const names = /; it has (.*)/s.exec(error?.code === "missing_column" ? error.detail : "")?.[1] ?? "";
  return [...names.matchAll(/`([^`]+)`/g)].map((match) => match[1]);
}

function boxes(names, group, sum) {
  const box = (name, list, label) => h("input", { type: "checkbox", value: name, checked: list.includes(name), "aria-label": `${label} ${name}` });
  const rows = names.map((name) => ({ name, group: box(name, group, "Group by"), sum: box(name, sum, "Sum") }));
  const read = (which) => rows.filter((row) => row[which].checked).map(({ name }) => name);
  const element = h(
    "div",
    { class: "table-box columns-box", tabindex: 0, role: "region", "aria-label": "Columns" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ["Column of the file", "Group by", "Sum"].map((label) => h("th", { scope: "col" }, label)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("td", {}, h("span", { class: "name cell-text", title: row.name }, row.name)), h("td", {}, row.group), h("td", {}, row.sum)))),
    ),
  );
  return { element, read: () => ({ group_by: read("group"), sum: read("sum") }) };
}

function lines(group, sum) {
  const area = (names) => h("textarea", { value: names.join("\n"), rows: 3, required: true, spellcheck: "false" });
  const [groupArea, sumArea] = [area(group), area(sum)];
  const read = (element) => element.value.split("\n").map((line) => line.trim()).filter(Boolean);
  return {
    element: h("div", { class: "form-grid" }, field("Columns to group by, one per line", groupArea), field("Columns to sum, one per line", sumArea)),
    read: () => ({ group_by: read(groupArea), sum: read(sumArea) }),
  };
}
