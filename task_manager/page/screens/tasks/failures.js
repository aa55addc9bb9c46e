// Failed tasks by error code, above the list of failed tasks.

import { h, replace } from "../../dom.js";
import { count, number, time } from "../../format.js";
import { get } from "../../http.js";

/** How many errors are shown, the most frequent first. */
const SHOWN = 8;

/** @param {(code: string) => void} onChoose called with the code whose tasks shall be listed */
export function createFailures(onChoose) {
  const element = h("section", { class: "card failures", "aria-label": "Failures by error", hidden: true });
  let request = new AbortController();

  function show({ items }) {
    element.hidden = items.length === 0;
    const largest = Math.max(...items.map((item) => item.count));
    replace(
      element,
      h("h2", {}, "Failures by error"),
      h("ul", {}, items.slice(0, SHOWN).map((item) =>
        h(
          "li",
          {},
          h("button", { class: "link name", title: `List the tasks with the error ${item.code}`, onclick: () => onChoose(item.code) }, item.title ?? item.code),
          h("span", { class: "failure-count numeric", title: count(item.count, "task") }, number(item.count)),
          h("span", { class: "progress bad", "aria-hidden": "true" }, h("div", { style: { width: `${(100 * item.count) / largest}%` } })),
          example(item.example),
          h("span", { class: "soft small nowrap" }, time(item.last_at)),
        ),
      )),
      items.length > SHOWN && h("p", { class: "soft small" }, `And ${count(items.length - SHOWN, "rarer error")}.`),
    );
  }

  return {
    element,
    /**
     * Reads the failures for a filter of the list, if it lists nothing but failed tasks.
     *
     * @returns {Promise<() => void>} shows them, together with the list, so that it does not jump afterwards
     */
    async read({ state, kind, from, to, all, user_id: userId, error_code: code }) {
      request.abort();
      request = new AbortController();
      const hide = () => { element.hidden = true; };
      if (state.join() !== "failed" || code) return hide;
      try {
        const failures = await get("/v1/tasks/failures", { kind, from, to, all, user_id: userId }, { signal: request.signal });
        return () => show(failures);
      } catch {
        // The list below shows the same tasks, without their grouping.
        return hide;
      }
    },
    destroy: () => request.abort(),
  };
}

/** The latest task with the error; `null` if it cannot be read. */
function example(task) {
  if (!task) return h("span");
  const words = [task.file_name, task.detail].filter(Boolean).join(": ") || "Show a task with it";
  return h("a", { class: "soft small name", href: `/tasks/${task.task_id}`, title: words }, words);
}
