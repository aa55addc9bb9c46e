// Command lines that do the same, and the task as the API shows it.

import { withNames } from "../../dialect.js";
import { h } from "../../dom.js";
import { shellQuote } from "../../format.js";
import { user } from "../../session.js";
import { commandBox, curlLine, taskctlLine } from "../files/commands.js";
import { FILE_KINDS } from "../files/kinds.js";
import { createPart } from "./part.js";

const DEFAULT_SERVER = "http://127.0.0.1:5000";

/** The same task as a line of curl and of taskctl; for kinds without a file, lines that show it. */
export function createCommands() {
  return createPart(
    ({ task_id, kind, file_name, parameters }) => [task_id, kind, file_name, parameters],
    (task) => {
      const makes = task.kind in FILE_KINDS && task.file_name;
      const item = makes && { name: task.file_name, kind: task.kind, parameters: given(task.parameters) };
      const lines = [["curl", makes ? curlLine(item) : showByCurl(task)], ["taskctl", makes ? taskctlLine(item) : showByTaskctl(task)]];
      return h("section", { class: "card stack", "aria-labelledby": "commands-title" }, h("h2", { id: "commands-title" }, makes ? "The same from the command line" : "This task from the command line"), lines.map(([label, line]) => {
        const box = commandBox(label);
        box.set(line);
        return box.element;
      }));
    },
  );
}

function given(parameters) {
  return withNames(Object.fromEntries(Object.entries(parameters ?? {}).filter(([, value]) => value !== null)));
}

function showByCurl({ task_id: id }) {
  const token = user()?.login_required ? ' -H "Authorization: Bearer $TOKEN"' : "";
  return `curl${token} ${shellQuote(`${location.origin}/v1/tasks/${id}`)}`;
}

function showByTaskctl({ task_id: id }) {
  const server = location.origin === DEFAULT_SERVER ? "" : ` --server ${location.origin}`;
  return `taskctl status${server} ${id}`;
}

/** The task as JSON. It is written when it is opened, and follows the task then. */
export function createJson() {
  const text = h("pre", { class: "json", tabindex: 0, "aria-label": "The task as JSON" });
  let task = null;
  const show = () => {
    if (element.open) text.textContent = JSON.stringify(task, null, 2);
  };
  const element = h("details", { class: "card", ontoggle: show }, h("summary", {}, "The task as JSON"), text);
  return {
    element,
    update(next) {
      task = next;
      show();
    },
  };
}
