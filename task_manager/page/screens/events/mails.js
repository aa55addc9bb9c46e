// What became of a mailed report.

import { h } from "../../dom.js";
import { count, isEnded, time } from "../../format.js";
import { badge, stateBadge } from "../../states.js";

/** In words: sent and to whom, or why not. */
export function outcome(task) {
  const { state, result, error } = task;
  if (error) return [badge("failed", error.title), h("div", { class: "soft wrap" }, error.detail)];
  if (!isEnded(state)) {
    const again = task.failures > 0 && ` after ${count(task.failures, "failure")}`;
    return [badge(state, state === "processing" ? "Being sent" : "Waiting to be sent"), again];
  }
  if (state !== "processed" || !result) return stateBadge(state);
  if (!result.sent) return [badge("stopped", "Not sent"), h("div", { class: "soft" }, "No mail server is configured: set smtp_host of the worker. The report is in its log.")];
  return [
    badge("processed", `Sent to ${count(result.recipients.length, "recipient")}`),
    h("div", { class: "soft wrap" }, result.recipients.slice(0, 5).join(", "), result.recipients.length > 5 && " …"),
    result.refused.map(({ recipient, reason }) => h("div", { class: "wrap" }, badge("failed", "Refused"), ` ${recipient}: ${reason}`)),
  ];
}

/** A mailed report as a row. */
export function mailRow(task) {
  return h(
    "tr",
    {},
    h("td", { class: "nowrap" }, h("a", { href: `/tasks/${task.task_id}` }, time(task.created_at))),
    h("td", {}, outcome(task)),
    h("td", { class: "numeric" }, task.attempt),
  );
}
