// Failed tasks by error code, above the list of failed tasks.

import { h, replace } from "../../dom.js";
import { count, number, time } from "../../format.js";
import { get } from "../../http.js";

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
      h("ul", {}, items.map((item) =>
        h(
          "li",
          {},
          h("button", { class: "link name", title: `List the tasks with the error ${item.code}`, onclick: () => onChoose(item.code) }, item.title),
          h("span", { class: "failure-count numeric", title: count(item.count, "task") }, number(item.count)),
          h("span", { class: "progress bad", "aria-hidden": "true" }, h("div", { style: { width: `${(100 * item.count) / largest}%` } })),
          h("a", { class: "soft small name", href: `/tasks/${item.example.task_id}`, title: item.example.detail }, `${item.example.file_name ? `${item.example.file_name}: ` : ""}${item.example.detail}`),
          h("span", { class: "soft small nowrap" }, time(item.last_at)),
        ),
      )),
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
