// The rows of the list: read in pages, and kept up to date. Rows change in place; new ones are only counted
// until they are asked for, so that nothing moves under the pointer.

import { get } from "../../http.js";
import { DEFAULT_SORT, matches, readFilter, readSort } from "./filter.js";

const PAGE_SIZE = 200;

/**
 * @param {object} table from `createTable`
 * @param {{onChange: () => void, onProblem: (problem: Error) => void}} callbacks `onChange` is called after each
 *   change of what `createList` returns
 */
export function createList(table, { onChange, onProblem }) {
  let request = new AbortController();
  let nextPage = null;
  const waiting = new Set();
  const list = {
    filter: readFilter(),
    sort: readSort(),
    isLoading: false,
    isLoaded: false,
    get isComplete() { return nextPage === null; },
    get newRows() { return waiting.size; },
    load,
    more,
    receive,
    remove,
    destroy: () => request.abort(),
  };
  return list;

  /** Reads the first page for the filter of the address, and shows it together with what `beside` resolves to. */
  async function load(beside = async () => () => {}) {
    request.abort();
    request = new AbortController();
    list.filter = readFilter();
    list.sort = readSort();
    waiting.clear();
    nextPage = null;
    const reading = beside(list.filter);
    await read(null, async () => (await reading)());
  }

  /** Reads the next page, if there is one. */
  async function more() {
    if (list.isLoading || nextPage === null) return;
    await read(nextPage);
  }

  async function read(pageToken, showBeside) {
    const { signal } = request;
    list.isLoading = true;
    onChange();
    try {
      const page = await get("/v1/tasks", { ...list.filter, sort: list.sort === DEFAULT_SORT ? null : list.sort, page_size: PAGE_SIZE, page_token: pageToken }, { signal });
      await showBeside?.();
      if (signal.aborted) return;
      nextPage = page.next_page_token;
      list.isLoaded = true;
      table.setRows(pageToken === null ? page.items : [...table.rows, ...page.items.filter(({ task_id: id }) => !table.has(id))]);
      for (const { task_id: id } of page.items) waiting.delete(id);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      onProblem(problem);
    }
    if (signal.aborted) return;
    list.isLoading = false;
    onChange();
  }

  /** Takes a task that changed. */
  function receive(task) {
    const before = waiting.size;
    // Events do not name the owner.
    if (table.has(task.task_id)) table.update({ ...task, owner: task.owner ?? table.get(task.task_id).owner });
    else if (matches(task, list.filter) && belongsHere(task)) waiting.add(task.task_id);
    else waiting.delete(task.task_id);
    if (table.rows.length === 0 && waiting.size > 0 && !list.isLoading && list.isLoaded) load();
    else if (waiting.size !== before) onChange();
  }

  /** Whether a matching task is among the loaded pages, and not on a later one. */
  function belongsHere(task) {
    const last = table.rows.at(-1);
    if (nextPage === null || !last) return true;
    return list.sort === DEFAULT_SORT && task.created_at >= last.created_at;
  }

  function remove(ids) {
    table.setRows(table.rows.filter(({ task_id: id }) => !ids.has(id)));
    onChange();
  }
}
