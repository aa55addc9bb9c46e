// The rows of the list: read in pages, and kept up to date. Rows change in place; new ones are only counted
// until they are asked for, so that nothing moves under the pointer.

import { get } from "../../http.js";
import { isNewer } from "../../live.js";
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
  /** New tasks that are not shown, by their ids. */
  const waiting = new Map();
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
      const items = page.items.map(newest);
      table.setRows(pageToken === null ? items : [...table.rows, ...items.filter(({ task_id: id }) => !table.has(id))]);
      for (const { task_id: id } of items) waiting.delete(id);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      onProblem(problem);
    }
    if (signal.aborted) return;
    list.isLoading = false;
    onChange();
  }

  /** A task as an event showed it, if that overtook the answer to the request. */
  function newest(task) {
    const other = table.get(task.task_id) ?? waiting.get(task.task_id);
    return other && !isNewer(task, other) ? { ...other, owner: task.owner } : task;
  }

  /** Takes a task that changed. */
  function receive(task) {
    const before = waiting.size;
    // Events do not name the owner.
    const shown = table.get(task.task_id);
    if (shown) {
      if (isNewer(task, shown)) table.update({ ...task, owner: task.owner ?? shown.owner });
    } else if (matches(task, list.filter) && belongsHere(task)) waiting.set(task.task_id, task);
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
