// The states as tabs with counts, and what the counts are of.

import { h, replace } from "../../dom.js";
import { number } from "../../format.js";
import { get, withQuery } from "../../http.js";
import { icon } from "../../icons.js";
import { query } from "../../router.js";
import { stateName } from "../../states.js";
import { scopeWords } from "./filter.js";

/** The tabs: first what runs, then how tasks end. The last two are rare and shown only if there are some. */
const TABS = ["queued", "processing", "failed", "processed", "stopped", "killed", "initializing", "stopping"];
const RARE = ["initializing", "stopping"];
/** The shortest time between two requests for counts, in milliseconds. */
const PAUSE = 2_000;

/**
 * @param {object} options
 * @param {() => object} options.filter the filter of the list
 * @param {(states: string[]) => void} options.onChoose
 * @param {(total: number) => void} options.onTotal called with how many tasks match, with the chosen states
 */
export function createTabs({ filter, onChoose, onTotal }) {
  const tabs = h("nav", { class: "tabs", "aria-label": "Tasks by state" });
  const scope = h("p", { class: "soft small tabs-scope" });
  let counts = null;
  let timer = null;
  let lastRequest = 0;
  let request = new AbortController();

  function show() {
    const chosen = query().getAll("state");
    const all = counts && Object.values(counts).reduce((sum, value) => sum + value, 0);
    const tab = (name, states, total, symbol) =>
      h(
        "a",
        {
          href: withQuery("/tasks", { ...Object.fromEntries([...query()].filter(([key]) => key !== "state")), state: states }),
          "aria-current": isSame(chosen, states) ? "true" : null,
          dataset: { state: states[0] ?? "" },
          onclick: (event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            onChoose(states);
          },
        },
        symbol,
        name,
        h("span", { class: "count" }, counts ? number(total) : "·"),
      );
    const focused = tabs.contains(document.activeElement) ? document.activeElement.dataset.state : null;
    replace(
      tabs,
      tab("All", [], all),
      TABS.filter((state) => !RARE.includes(state) || counts?.[state] > 0 || chosen.includes(state)).map((state) =>
        tab(stateName(state), [state], counts?.[state] ?? 0, h("span", { class: `state state-${state} is-still` }, icon(state))),
      ),
    );
    if (focused !== null) tabs.querySelector(`[data-state="${focused}"]`)?.focus();
    showChosen();
    scope.textContent = `Counts ${scopeWords()}.`;
    if (counts) onTotal(chosen.length === 0 ? all : chosen.reduce((sum, state) => sum + (counts[state] ?? 0), 0));
  }

  /** On small screens the tabs scroll. */
  function showChosen() {
    const tab = tabs.querySelector("[aria-current]");
    if (tab && tabs.scrollWidth > tabs.clientWidth) tabs.scrollLeft = tab.offsetLeft - tabs.clientWidth / 3;
  }

  /** Reads the counts for the filter of the address. */
  async function load() {
    clearTimeout(timer);
    timer = null;
    lastRequest = Date.now();
    request.abort();
    request = new AbortController();
    try {
      const answer = await get("/v1/tasks/counts", { ...filter(), state: null, by: "state" }, { signal: request.signal });
      counts = Object.fromEntries(answer.counts.map(({ state, count }) => [state, count]));
      show();
    } catch {
      // The list says why; counts that cannot be read stay as they are.
    }
  }

  /** Reads the counts soon: something changed. */
  function refresh() {
    if (timer !== null || document.hidden) {
      isStale ||= document.hidden;
      return;
    }
    timer = setTimeout(load, Math.max(0, lastRequest + PAUSE - Date.now()));
  }

  let isStale = false;
  const onVisible = () => {
    if (document.hidden || !isStale) return;
    isStale = false;
    refresh();
  };
  document.addEventListener("visibilitychange", onVisible);
  show();

  return {
    element: h("div", { class: "tabs-box" }, tabs, scope),
    load,
    refresh,
    show,
    destroy() {
      clearTimeout(timer);
      request.abort();
      document.removeEventListener("visibilitychange", onVisible);
    },
  };
}

function isSame(one, other) {
  return one.length === other.length && one.every((state) => other.includes(state));
}
