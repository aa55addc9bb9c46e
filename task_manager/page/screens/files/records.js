// What this browser remembers about its files over a reload: a record for each in the local storage, and, where
// the browser gives one, the handle that reads the file again, in IndexedDB.

const PREFIX = "file.";
/** How many files are remembered whose task has ended. */
const MOST_OVER = 50;

/**
 * @typedef {object} FileRecord
 * @property {string} id
 * @property {string} userId only this user sees it
 * @property {string} name
 * @property {number} size
 * @property {number} modified the file's time, which tells versions of it apart
 * @property {string} kind
 * @property {object} parameters
 * @property {string} key the `Idempotency-Key` of the upload's creation
 * @property {string|null} url the upload
 * @property {string|null} taskId
 * @property {string} addedAt
 * @property {boolean} isOver whether its task has ended
 */

/** The records of a user, newest first. */
export function readRecords(userId) {
  const records = [];
  for (const key of Object.keys(localStorage)) {
    if (!key.startsWith(PREFIX)) continue;
    const record = parse(localStorage.getItem(key));
    if (record?.userId === userId) records.push(record);
  }
  records.sort((one, other) => other.addedAt.localeCompare(one.addedAt));
  const old = records.filter(({ isOver }) => isOver).slice(MOST_OVER);
  old.forEach(({ id }) => removeRecord(id));
  return records.filter((record) => !old.includes(record));
}

/** @param {FileRecord} record */
export function saveRecord(record) {
  try {
    localStorage.setItem(PREFIX + record.id, JSON.stringify(record));
  } catch {
    // The storage is full or forbidden: the file is only known until the page is left.
  }
}

export function removeRecord(id) {
  localStorage.removeItem(PREFIX + id);
  removeHandle(id);
}

/** Calls back when another tab adds, changes or removes a record; it is `null` for a removed one. */
export function onOtherTab(callback) {
  addEventListener("storage", ({ key, newValue }) => {
    if (key?.startsWith(PREFIX)) callback(key.slice(PREFIX.length), parse(newValue));
  });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// --- Handles -----------------------------------------------------------------------------------

const STORE = "handles";

let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("files", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Runs a request in the store; `null` where there is no IndexedDB, as in some private windows. */
async function inStore(mode, action) {
  try {
    const database = await open();
    return await new Promise((resolve, reject) => {
      const request = action(database.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result ?? null);
      request.onerror = () => reject(request.error);
    });
  } catch {
    return null;
  }
}

/** @param {FileSystemFileHandle} handle */
export function saveHandle(id, handle) {
  return inStore("readwrite", (store) => store.put(handle, id));
}

/** @returns {Promise<FileSystemFileHandle|null>} */
export function readHandle(id) {
  return inStore("readonly", (store) => store.get(id));
}

export function removeHandle(id) {
  return inStore("readwrite", (store) => store.delete(id));
}
