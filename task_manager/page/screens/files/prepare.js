// A file before its start: what was found in it, what is to be done with it, and the same as command lines.

import { DELIMITERS, ENCODINGS } from "../../dialect.js";
import { dialectFields } from "../../dialect_fields.js";
import { h, replace } from "../../dom.js";
import { bytes, count, kindName } from "../../format.js";
import { icon } from "../../icons.js";
import { saveText } from "../../sections.js";
import { columnSheet } from "./columns.js";
import { commandBox, curlLine, taskctlLine } from "./commands.js";
import { describe, warnings } from "./detected.js";
import { columnsWith, DEFAULT_COLUMNS, DIALECTS, FILE_KINDS, parametersOf, reasonAgainstStart } from "./kinds.js";
import { alikeTo, applyToAlike, chooseKind, readAs, removeItem, start } from "./prepared.js";

/** The card of a prepared file. */
export function prepareCard(item) {
  const body = h("div", { class: "stack", id: `prepared-${item.id}` });
  const startButton = h("button", { class: "primary", type: "button", onclick: () => start(item) }, icon("play"), "Start");
  const reason = h("span", { class: "soft small start-reason", id: `reason-${item.id}` });
  const description = h("p", { class: "soft small" });
  const sheetBox = h("div");
  const warningBox = h("div", { class: "stack" });
  const summary = h("p", { class: "soft" });
  const parameterBox = h("div", { class: "parameters" });
  const moreBox = h("div");
  const curl = commandBox("curl");
  const taskctl = commandBox("taskctl");

  const showLines = () => {
    const against = reasonAgainstStart(item);
    startButton.disabled = Boolean(against);
    startButton.setAttribute("aria-describedby", reason.id);
    replace(reason, against);
    const found = warnings(item);
    replace(warningBox, found.map(warning));
    replace(description, found.length > 0 && h("span", { class: "attention" }, icon("warning"), h("span", { class: "hidden-text" }, "Attention: ")), describe(item));
    replace(summary, summaryOf(item));
    const task = { name: item.name, kind: item.kind, parameters: parametersOf(item) };
    curl.set(curlLine(task));
    taskctl.set(taskctlLine(task));
  };
  const showSheet = () => replace(sheetBox, item.csv && columnSheet(item, (at, role) => {
    item.roles[at] = role;
    showLines();
  }));
  const showRead = () => {
    showSheet();
    showLines();
  };
  const showKind = () => {
    replace(parameterBox, parameterFields(item, showLines));
    replace(moreBox, item.kind in DIALECTS && moreOptions(item, showLines, showRead));
    showRead();
  };
  const kind = h(
    "select",
    {
      "aria-label": `What to do with ${item.name}`,
      onchange: () => {
        chooseKind(item, kind.value);
        showKind();
      },
    },
    Object.keys(FILE_KINDS).map((name) => h("option", { value: name, selected: name === item.kind }, kindName(name))),
  );
  const alike = alikeTo(item).length;
  const open = () => {
    if (body.hasChildNodes()) return;
    showKind();
    replace(
      body,
      sheetBox,
      warningBox,
      parameterBox,
      moreBox,
      summary,
      alike > 0 && h("div", {}, h("button", { class: "small apply-alike", type: "button", onclick: () => applyToAlike(item) }, `Use these settings for ${count(alike, "other file")} with the same columns`)),
      h("div", { class: "commands" }, curl.element, taskctl.element),
    );
  };
  const toggle = h("button", {
    class: "icon-button toggle", type: "button", "aria-expanded": String(item.isOpen), "aria-controls": body.id, "aria-label": `Settings of ${item.name}`,
    onclick: () => {
      item.isOpen = !item.isOpen;
      toggle.setAttribute("aria-expanded", String(item.isOpen));
      body.hidden = !item.isOpen;
      if (item.isOpen) open();
    },
  }, icon("next"));
  body.hidden = !item.isOpen;
  if (item.isOpen) open();
  showLines();

  return h(
    "section",
    { class: "card prepared", "aria-label": item.name },
    h(
      "div",
      { class: "prepared-head" },
      toggle,
      h(
        "div",
        { class: "prepared-name" },
        h("div", { class: "row-name" }, h("h3", { class: "name", title: item.name }, item.name), h("span", { class: "soft small nowrap" }, bytes(item.file.size))),
        description,
      ),
      h(
        "div",
        { class: "row prepared-actions" },
        reason,
        item.isSample && saveButton(item),
        kind,
        startButton,
        h("button", { class: "icon-button", type: "button", "aria-label": `Remove ${item.name}`, title: "Remove", onclick: () => removeItem(item) }, icon("close")),
      ),
    ),
    body,
  );
}

function warning({ text }) {
  return h("div", { class: "note warn stack wrap" }, h("span", {}, text));
}

function saveButton({ file, name }) {
  return h("button", { type: "button", onclick: async () => saveText(await file.text(), name, file.type) }, icon("download"), "Save");
}

function summaryOf(item) {
  if (item.kind !== "csv_aggregation") return `${FILE_KINDS[item.kind].does}.`;
  const groups = item.csv ? columnsWith("group", item) : DEFAULT_COLUMNS.group_by;
  const sums = item.csv ? columnsWith("sum", item) : DEFAULT_COLUMNS.sum;
  if (!groups.length || !sums.length) return "Choose what to group by and what to sum above.";
  const names = (list) => list.map((name, at) => [at > 0 && (at === list.length - 1 ? " and " : ", "), h("strong", { class: "wrap" }, name)]);
  return ["Sums ", names(sums), " for each ", groups.length > 1 ? "combination of " : "", names(groups), "."];
}

/** How the file is written. Its beginning is read again after a change. */
function moreOptions(item, onChange, onRead) {
  const fields = dialectFields(item.dialect, {
    parameters: DIALECTS[item.kind],
    isOpen: item.isMoreOpen,
    onToggle: (isOpen) => { item.isMoreOpen = isOpen; },
    onChange: async () => {
      const reading = readAs(item, { ...item.dialect, ...fields.read() });
      onChange();
      if (!(await reading)) return;
      fields.showDetected(detected(item));
      onRead();
    },
  });
  fields.showDetected(detected(item));
  return fields.element;
}

/** What was detected, unless it was given. */
function detected({ dialect, csv, encoding }) {
  return {
    delimiter: !dialect.delimiter && csv && DELIMITERS[csv.delimiter],
    encoding: !dialect.encoding && ENCODINGS[encoding],
  };
}

function parameterFields(item, onChange) {
  const fields = [];
  if (item.kind === "csv_aggregation" || item.kind === "data_upload") {
    const select = h(
      "select",
      { onchange: () => { item.onBadRow = select.value; onChange(); } },
      h("option", { value: "fail", selected: item.onBadRow === "fail" }, "end the task with an error"),
      h("option", { value: "skip", selected: item.onBadRow === "skip" }, "are left out and listed"),
    );
    fields.push(h("label", { class: "field" }, "Invalid rows", select));
  }
  if (item.kind === "csv_aggregation") {
    const text = (label, name, attributes) =>
      h("label", { class: "field" }, label, h("input", {
        value: item[name], spellcheck: "false", autocomplete: "off", ...attributes,
        oninput: (event) => { item[name] = event.target.value; onChange(); },
      }));
    fields.push(text("Other name for the last sum", "totalHeader", { placeholder: "as in the file", maxlength: 200 }));
    fields.push(text("Memory for the groups", "memoryLimit", { placeholder: "512MiB", pattern: "\\s*[0-9]+(\\.[0-9]+)?\\s*([KMGT]i?)?B?\\s*" }));
  }
  return fields;
}
