// The list of tasks: filters, counts, live rows, and actions on many at a time.

import { h, replace } from "../dom.js";
import { count } from "../format.js";
import { get } from "../http.js";
import { onStatus, onTask } from "../live.js";
import { problemBox } from "../notices.js";
import { navigate, query, setQuery } from "../router.js";
import { createTable } from "../table.js";
import { actOnMany, MAX_IDS } from "./tasks/bulk.js";
import { columns, HEIGHTS } from "./tasks/columns.js";
import { createFailures } from "./tasks/failures.js";
import { isNarrowed, readFilter } from "./tasks/filter.js";
import { createFilterBar } from "./tasks/filter_bar.js";
import { showHelp } from "./tasks/help.js";
import { listenToKeys } from "./tasks/keys.js";
import { createList } from "./tasks/list.js";
import { createSelectionBar } from "./tasks/selection_bar.js";
import { createTabs } from "./tasks/tabs.js";
import { createViews } from "./tasks/views.js";
import { taskName } from "./tasks/words.js";

export const title = "Tasks";

/** How often tasks of other users are asked for, of which no events arrive, in milliseconds. */
const POLL_OTHERS = 5_000;

/** The row that had the focus when the list was left, and its query: going back continues there. */
let left = null;

export function mount(root) {
  const tableBox = h("div", { class: "task-table" });
  const foot = h("div", { class: "list-foot", role: "status" });
  const pill = h("button", { class: "new-rows primary", hidden: true, onclick: showNew });
  let table = null;
  let list = null;
  let total = null;
  let search = location.search;

  const bar = createFilterBar(reload);
  const views = createViews();
  const tabs = createTabs({
    filter: () => list.filter,
    onChoose: (states) => {
      setQuery({ state: states });
      tabs.show();
      reload();
    },
    onTotal: (matching) => {
      total = matching;
      table?.setTotal(matching);
      showSelection();
    },
  });
  const failures = createFailures((code) => {
    setQuery({ error_code: code });
    bar.show();
    reload();
  });
  const selection = createSelectionBar({
    onAct: act,
    onSelectAll: () => table.selectAll(),
    onClear: () => table.clearSelection(),
  });

  root.append(
    h(
      "div",
      { class: "screen-head" },
      h("h1", {}, title),
      views.element,
      h("button", { class: "icon-button", "aria-label": "Keys", title: "Keys (?)", onclick: showHelp }, "?"),
    ),
    h("div", { class: "stack" }, bar.element, tabs.element, failures.element, h("div", { class: "list-box" }, h("div", { class: "new-rows-box" }, pill), tableBox, foot)),
    selection.element,
  );

  /** The columns depend on whose tasks are listed, so the table is made again when that changes. */
  function createRows() {
    table?.destroy();
    list?.destroy();
    table = createTable({
      label: "Tasks",
      kind: readFilter().all ? "grid-tasks has-owner" : "grid-tasks",
      columns: columns(Boolean(readFilter().all)),
      heights: HEIGHTS,
      keyOf: (task) => task.task_id,
      nameOf: taskName,
      onOpen: (task) => navigate(`/tasks/${task.task_id}`),
      onSelect: showSelection,
      onNearEnd: () => list.more(),
    });
    list = createList(table, { onChange: showList, onProblem: showProblem });
    replace(tableBox, table.element);
    stopKeys();
    stopKeys = listenToKeys(table, bar.search, () => {
      bar.search.value = "";
      bar.search.dispatchEvent(new Event("input"));
    });
  }

  let stopKeys = () => {};

  async function reload() {
    search = location.search;
    if (Boolean(readFilter().all) !== Boolean(list.filter.all)) createRows();
    const loading = list.load(failures.read);
    table.clearSelection();
    tabs.load();
    await loading;
  }

  function showNew() {
    scrollTo(0, 0);
    list.load(failures.read);
    tabs.refresh();
  }

  function showList() {
    pill.hidden = list.newRows === 0;
    pill.textContent = `${count(list.newRows, "new task")} · show`;
    tableBox.classList.toggle("is-loading", list.isLoading && table.rows.length > 0);
    tableBox.setAttribute("aria-busy", list.isLoading);
    tableBox.hidden = list.isLoaded && table.rows.length === 0;
    if (list.isLoading) replace(foot, h("p", { class: "soft" }, "Loading"));
    else if (list.isLoaded) replace(foot, table.rows.length === 0 ? emptyState() : list.isComplete && h("p", { class: "soft small" }, `${count(table.rows.length, "task")}, no more`));
    showSelection();
  }

  function emptyState() {
    const isFiltered = isNarrowed() || query().has("state");
    return h(
      "div",
      { class: "card empty" },
      h("h2", {}, isFiltered ? "No task matches" : "No tasks yet"),
      isFiltered
        ? h("p", {}, isNarrowed() ? h("button", { class: "link", onclick: bar.clear }, "Clear the filters") : "Tasks in this state appear here.")
        : h("p", {}, "Each uploaded file becomes a task. ", h("a", { href: "/" }, "Upload a file"), " to see one work."),
    );
  }

  function showProblem(problem) {
    replace(foot, problemBox(problem, () => (table.rows.length > 0 ? list.more() : reload())));
    list.isLoaded = false;
  }

  function showSelection() {
    if (table) selection.show(table.selected.size, table.rows.length, total, list.filter.user_id && { user_id: list.filter.user_id });
  }

  async function act(action, isAll) {
    const isStarted = await actOnMany(action, chosen(isAll), {
      isAllUsers: Boolean(list.filter.all),
      onEnd: () => {
        list.load(failures.read);
        tabs.load();
      },
    });
    if (isStarted) table.clearSelection();
  }

  /** The selected tasks as the API takes them: by their ids, or by the filter if all that match are meant. */
  function chosen(isAll) {
    const ids = [...table.selected];
    const isEveryRow = list.isComplete && ids.length === table.rows.length;
    if (!isAll && !(isEveryRow && ids.length > MAX_IDS)) return { ids };
    // Actions concern the caller's own tasks only, and take no other scope.
    const { all: _, user_id: __, ...filter } = list.filter;
    return { filter: Object.fromEntries(Object.entries(filter).filter(([, value]) => value?.length > 0)) };
  }

  createRows();
  const back = left;
  reload().then(() => {
    if (back?.search === search && table.has(back.id)) table.focus(back.id);
  });
  const stopTasks = onTask((task) => {
    list.receive(task);
    tabs.refresh();
  });
  let wasLost = false;
  const stopStatus = onStatus((status) => {
    if (status === "live" && wasLost) reload();
    wasLost = status === "reconnecting";
  });
  const timer = setInterval(async () => {
    if (!(list.filter.all || list.filter.user_id) || document.hidden) return;
    const { items } = await get("/v1/tasks", { ...list.filter, page_size: 50 }).catch(() => ({ items: [] }));
    items.forEach(list.receive);
    if (items.length > 0) tabs.refresh();
  }, POLL_OTHERS);

  return () => {
    clearInterval(timer);
    stopTasks();
    stopStatus();
    stopKeys();
    left = { search, id: table.active };
    table.destroy();
    for (const part of [list, tabs, failures, bar, views]) part.destroy();
  };
}
