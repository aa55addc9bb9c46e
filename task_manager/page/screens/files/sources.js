// Where files come from: dropped anywhere on the page, chosen, or the sample.

import { h } from "../../dom.js";
import { icon } from "../../icons.js";

/** How many files of a folder are taken. */
const MOST_FILES = 1_000;
/** Files that systems leave in folders. */
const IGNORED = /^(\..*|Thumbs\.db|desktop\.ini)$/i;

/** @typedef {{file: File, name: string, handle: FileSystemFileHandle|null}} Source */

/**
 * Takes what is dropped on the window, until the returned function is called.
 *
 * @param {HTMLElement} cover is shown while something is dragged over the page
 * @param {(sources: Source[]) => void} onFiles
 */
export function acceptDrops(cover, onFiles) {
  let depth = 0;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const show = (isOver) => cover.classList.toggle("is-over", isOver);
  const listeners = {
    dragenter: (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth += 1;
      show(true);
    },
    dragleave: (event) => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth - 1);
      show(depth > 0);
    },
    dragover: (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
    },
    drop: async (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth = 0;
      show(false);
      onFiles(await dropped(event.dataTransfer));
    },
  };
  protectPage();
  for (const [name, listener] of Object.entries(listeners)) addEventListener(name, listener);
  return () => {
    for (const [name, listener] of Object.entries(listeners)) removeEventListener(name, listener);
  };
}

let isProtected = false;

/** Keeps files that are dropped on other screens from replacing the page, which would interrupt its uploads. */
function protectPage() {
  if (isProtected) return;
  isProtected = true;
  addEventListener("dragover", (event) => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "none";
  });
  addEventListener("drop", (event) => event.preventDefault());
}

/** The files of a drop. Its items are only readable before the first `await`. */
async function dropped(transfer) {
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  const files = [...transfer.files];
  const handles = items.map((item) => item.getAsFileSystemHandle?.() ?? null);
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? null);
  const found = [];
  for (const [at, entry] of entries.entries()) {
    const handle = await Promise.resolve(handles[at]).catch(() => null);
    if (handle?.kind === "directory") found.push(...sorted(await walk(handle)));
    else if (handle) found.push({ file: await handle.getFile(), name: handle.name, handle });
    else if (entry?.isDirectory) found.push(...sorted(await walkEntry(entry)));
    else if (files[at]) found.push({ file: files[at], name: files[at].name, handle: null });
  }
  return found.length || entries.length ? found : files.map(plain);
}

/** Folders list their files in any order. */
function sorted(sources) {
  return sources.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
}

async function walk(folder, found = []) {
  for await (const handle of folder.values()) {
    if (found.length >= MOST_FILES) break;
    if (IGNORED.test(handle.name)) continue;
    if (handle.kind === "directory") await walk(handle, found);
    else found.push({ file: await handle.getFile(), name: handle.name, handle });
  }
  return found;
}

/** The same for browsers without handles. */
async function walkEntry(folder, found = []) {
  const reader = folder.createReader();
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    for (const entry of entries) {
      if (found.length >= MOST_FILES) return found;
      if (IGNORED.test(entry.name)) continue;
      if (entry.isDirectory) await walkEntry(entry, found);
      else found.push(plain(await new Promise((resolve, reject) => entry.file(resolve, reject))));
    }
  }
}

const plain = (file) => ({ file, name: file.name, handle: null });

/** The buttons that choose files and a folder. */
export function chooseButtons(onFiles) {
  const files = fileInput(onFiles, { name: "files" });
  const folder = fileInput(onFiles, { name: "folder", webkitdirectory: true });
  return [
    files,
    folder,
    h("button", { class: "primary", type: "button", onclick: () => chooseFiles(onFiles, files) }, icon("upload"), "Choose files"),
    h("button", { type: "button", onclick: () => folder.click() }, "Choose a folder"),
  ];
}

/** Shows the browser's dialog. Handles read the files again after a reload, so the picker that gives them comes first. */
export async function chooseFiles(onFiles, input = fileInput(onFiles)) {
  if (!window.showOpenFilePicker) return input.click();
  let handles;
  try {
    handles = await window.showOpenFilePicker({ multiple: true });
  } catch {
    return; // It was closed.
  }
  onFiles(await Promise.all(handles.map(async (handle) => ({ file: await handle.getFile(), name: handle.name, handle }))));
}

function fileInput(onFiles, attributes) {
  const input = h("input", {
    type: "file", hidden: true, multiple: true, ...attributes,
    onchange: () => {
      const files = [...input.files].filter((file) => !IGNORED.test(file.name)).slice(0, MOST_FILES);
      // The same file may be chosen again.
      input.value = "";
      onFiles(files.map(plain));
    },
  });
  return input;
}
