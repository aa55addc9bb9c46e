// The start page: files are dropped or chosen, prepared, started, and followed to their results.

import { h, replace } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";
import { ask, toast } from "../notices.js";
import { query, setQuery } from "../router.js";
import { isViewer } from "../session.js";
import { followJobs, tasksAreRead } from "./files/follow.js";
import { allJobs, forgetJob, isOver, onJobs, waitingFor } from "./files/jobs.js";
import { reasonAgainstStart } from "./files/kinds.js";
import { prepareCard } from "./files/prepare.js";
import { alikeTo, onPrepared, prepare, preparedItems, removeAll, startAll } from "./files/prepared.js";
import { fileRow } from "./files/row.js";
import { SAMPLE_NAME, sampleFile } from "./files/sample.js";
import { acceptDrops, chooseButtons } from "./files/sources.js";
import { give } from "./files/transfers.js";

export const title = "Files";

export function mount(root) {
  followJobs();
  const cover = h("div", { class: "drop-cover", "aria-hidden": "true" }, h("div", {}, icon("upload"), "Drop to add the files"));
  const prepared = h("div", { class: "stack" });
  const started = h("div", { class: "stack" });
  root.append(
    h("div", { class: "screen-head" }, h("h1", {}, title)),
    isViewer() ? h("p", { class: "note" }, "Your account may look but not upload files.") : dropZone(),
    prepared,
    started,
    cover,
  );

  const stops = [showPrepared(prepared), showStarted(started)];
  if (!isViewer()) stops.push(acceptDrops(cover, add));
  return () => stops.forEach((stop) => stop());
}

function dropZone() {
  return h(
    "div",
    { class: "card drop-zone" },
    icon("upload"),
    h(
      "div",
      { class: "drop-text" },
      h("strong", {}, "Drop files or a folder anywhere on this page"),
      h("p", { class: "soft small" }, "You see what is in them first, and choose what is to be done. Nothing is sent before you start it."),
    ),
    h("div", { class: "row" }, chooseButtons(add), h("button", { type: "button", onclick: addSample }, "Try a sample")),
  );
}

/** Continues the uploads that wait for these files, and prepares the others. */
async function add(sources) {
  await tasksAreRead();
  const rest = [];
  for (const source of sources) {
    const job = waitingFor(source.file, source.name);
    if (job) give(job, source.file);
    else rest.push(source);
  }
  const continued = sources.length - rest.length;
  if (continued) toast(`${count(continued, "upload")} ${continued === 1 ? "continues" : "continue"}.`, { kind: "good" });
  if (rest.length) await prepare(rest);
}

function addSample() {
  prepare([{ file: sampleFile(), name: SAMPLE_NAME, handle: null }], { isSample: true });
}

// --- Prepared files ----------------------------------------------------------------------------

function showPrepared(element) {
  const head = h("div", { class: "spread files-head" });
  const list = h("div", { class: "stack" });
  element.append(head, list);
  let cards = new Map();
  const cardOf = (id) => [...cards].find(([key]) => key.startsWith(`${id},`))?.[1];

  const show = () => {
    const items = preparedItems();
    const focused = document.activeElement;
    const focusedId = [...cards].find(([, card]) => card.contains(focused))?.[0].split(",")[0];
    const next = new Map();
    for (const item of items) {
      const key = [item.id, item.revision, alikeTo(item).length].join();
      next.set(key, cards.get(key) ?? prepareCard(item));
    }
    // Cards that stay are not moved, so that they keep the focus and what is typed.
    for (const [key, card] of cards) if (next.get(key) !== card) card.remove();
    let at = list.firstChild;
    for (const card of next.values()) {
      if (card === at) at = at.nextSibling;
      else list.insertBefore(card, at);
    }
    cards = next;
    if (focused.name && !focused.isConnected) cardOf(focusedId)?.querySelector(`[name="${focused.name}"]`)?.focus();
    element.hidden = items.length === 0;
    replace(head, items.length > 0 && [h("h2", {}, `${count(items.length, "file")} ready to start`), items.length > 1 && startAllButtons(items)]);
  };
  show();
  return onPrepared(show);
}

function startAllButtons(items) {
  const possible = items.filter((item) => !reasonAgainstStart(item)).length;
  return h(
    "div",
    { class: "row" },
    h("button", { type: "button", onclick: removeAll }, "Remove all"),
    h("button", { class: "primary", type: "button", disabled: possible === 0, onclick: startAll }, icon("play"), "Start all"),
  );
}

// --- Started files -----------------------------------------------------------------------------

function showStarted(element) {
  const heading = h("h2", {}, "Your files");
  const clear = h("button", { class: "small", type: "button", onclick: clearEnded }, "Clear ended");
  const list = h("ul", { class: "card file-list", "aria-label": "Your files" });
  const empty = emptyHint();
  element.append(h("div", { class: "spread files-head" }, heading, clear), list, empty);
  const rows = new Map();
  const opened = () => query().getAll("open");

  const rowOf = (job) => {
    const { id } = job.record;
    const isOpen = job.record.taskId !== null && opened().includes(job.record.taskId);
    const onToggle = (next) => {
      const { taskId } = job.record;
      if (taskId) setQuery({ open: next ? [...new Set([...opened(), taskId])] : opened().filter((other) => other !== taskId) });
    };
    if (!rows.has(id)) rows.set(id, fileRow(job, { isOpen, onToggle }));
    return rows.get(id);
  };
  const show = () => {
    const jobs = allJobs();
    const ids = new Set(jobs.map(({ record }) => record.id));
    for (const [id, row] of rows) {
      if (ids.has(id)) continue;
      row.stop();
      row.element.remove();
      rows.delete(id);
    }
    let at = list.firstChild;
    for (const job of jobs) {
      const { element: row } = rowOf(job);
      if (row === at) at = at.nextSibling;
      else list.insertBefore(row, at);
    }
    list.hidden = jobs.length === 0;
    showEmpty();
    heading.parentElement.hidden = jobs.length === 0;
    showClear();
  };
  const showEmpty = () => {
    empty.hidden = allJobs().length > 0 || preparedItems().length > 0;
  };
  const showClear = () => {
    clear.hidden = allJobs().filter(isOver).length < 2;
  };
  show();
  const stop = onJobs((job) => {
    if (!job) return show();
    rows.get(job.record.id)?.update();
    showClear();
  });
  const stopPrepared = onPrepared(showEmpty);
  return () => {
    stop();
    stopPrepared();
    rows.forEach((row) => row.stop());
  };
}

const HINTS = [
  ["processed", "A table with numbers", "becomes sums for each group, as a CSV file to download and, with days, as a chart over time."],
  ["person", "A list of names and e-mail addresses", "is loaded into the database. What is not valid is listed with the reason."],
  ["file", "Any other file", "gets its lines, words and characters counted, and its type and SHA-256 determined."],
];

function emptyHint() {
  return h(
    "div",
    { class: "card empty" },
    h("h2", {}, "No files yet"),
    h("p", {}, "What you start is followed here from its first byte to its result, also after a reload. ", !isViewer() && ["No file at hand? ", h("button", { class: "link", type: "button", onclick: addSample }, "Try a sample"), "."]),
    !isViewer() && h("ul", { class: "hints plain" }, HINTS.map(([name, what, becomes]) => h("li", {}, icon(name), h("h3", {}, what), h("p", { class: "small" }, becomes)))),
  );
}

async function clearEnded() {
  const ended = allJobs().filter(isOver);
  const isSure = await ask({
    title: `Take ${count(ended.length, "file")} off the list?`,
    text: ["Only this list forgets them. Their tasks and results stay, and are listed at “Tasks”."],
    confirm: "Take off",
  });
  if (isSure) ended.forEach(forgetJob);
}
