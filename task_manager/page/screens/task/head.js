// What the task is, its state, and what can be done with it.

import { h } from "../../dom.js";
import { bytes, kindName, time } from "../../format.js";
import { icon } from "../../icons.js";
import { ACTIONS, isForeign, reasonAgainst, stateBadge } from "../../states.js";
import { taskName } from "../tasks/words.js";
import { createPart } from "./part.js";

/** @param {{act: (action: string) => void, runAgain: () => void}} callbacks */
export function createHead({ act, runAgain }) {
  return createPart(
    ({ state, links, file_name, kind, worker, owner }) => ({ state, links, file_name, kind, worker, owner }),
    (task) => h(
      "header",
      { class: "task-head" },
      h("a", { class: "soft small back", href: "/tasks" }, "Tasks"),
      h(
        "div",
        { class: "screen-head" },
        h("h1", { class: "name", title: taskName(task) }, taskName(task)),
        stateBadge(task.state),
      ),
      h("p", { class: "soft facts-line" }, facts(task).map((fact) => h("span", {}, fact))),
      h(
        "div",
        { class: "row" },
        task.links.download && !isForeign(task) && h("a", { class: "button primary", href: task.links.download, download: true, dataset: { name: "download" } }, icon("download"), "Download the result"),
        button(task, "run_again", "Run again", "again", runAgain),
        Object.entries(ACTIONS).map(([name, { label, icon: symbol, isDanger }]) => button(task, name, label, symbol, () => act(name), isDanger)),
      ),
    ),
  );
}

function facts(task) {
  return [
    task.file_name && kindName(task.kind),
    h("code", { class: "wrap" }, task.task_id),
    task.size !== null && bytes(task.size),
    ["created ", time(task.created_at)],
    task.worker && `worker ${task.worker.name ?? task.worker.worker_id}`,
    isForeign(task) && `owner ${task.owner.username ?? task.owner.user_id}`,
  ].filter(Boolean);
}

/** A button; one that is not possible says why, and stays reachable by the keyboard so that it can. */
function button(task, action, label, symbol, onclick, isDanger = false) {
  const reason = reasonAgainst(action, task);
  return h(
    "button",
    {
      class: isDanger ? "danger" : null, dataset: { name: action },
      "aria-disabled": reason ? "true" : null, "aria-description": reason, title: reason,
      onclick: () => !reason && onclick(),
    },
    icon(symbol),
    label,
  );
}
