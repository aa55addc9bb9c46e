// The files of this browser, from the start of their upload to the end of their task. They live as long as the
// page, so uploads continue on every screen; records keep them over a reload. Not here: what they look like.

import { isEnded } from "../../format.js";
import { get, newKey, send } from "../../http.js";
import { onStatus, onTask } from "../../live.js";
import { user } from "../../session.js";
import { Upload } from "../../uploads.js";
import { isUploading, whileUploading } from "./locks.js";
import { onOtherTab, readHandle, readRecords, removeHandle, removeRecord, saveHandle, saveRecord } from "./records.js";

/** Uploads at a time: browsers open six connections per server, and the rest of the page needs some. */
const MOST_UPLOADS = 3;
/** Tasks that are read at a time after a reload. */
const MOST_READS = 4;
/** Milliseconds between two looks at whether another tab still uploads a file. */
const LOOK = 3_000;

/**
 * A file: its record, its upload in this tab, and its task as the server last showed it.
 *
 * @typedef {object} Job
 * @property {import("./records.js").FileRecord} record
 * @property {Upload|null} upload
 * @property {object|null} task
 * @property {boolean} isElsewhere whether another tab uploads it
 * @property {FileSystemFileHandle|null} handle reads the file again after one click
 * @property {boolean} [opensAtEnd] whether the result is shown when it has come
 */

/** @type {Map<string, Job>} newest first */
let jobs = new Map();
let ownerId = null;
const listeners = new Set();

/** Calls back with a changed job, or without one when the list has changed, until the returned function is called. */
export function onJobs(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

function changed(job) {
  for (const callback of [...listeners]) callback(job);
}

/** The jobs of the user, newest first. */
export function allJobs() {
  load();
  return [...jobs.values()];
}

/** Where a job is: `waiting`, `starting`, `uploading`, `reconnecting`, `paused`, `refused` (the upload failed),
 * `missing` (its file must be given again), `elsewhere`, `unknown`, or the state of its task. */
export function phaseOf({ upload, task, isElsewhere, record }) {
  const isHere = upload && !["done", "ended"].includes(upload.state);
  if (isHere && (!task || task.state === "initializing")) return upload.state === "failed" ? "refused" : upload.state;
  if (task && task.state !== "initializing") return task.state;
  if (upload?.state === "done") return "initializing";
  if (isElsewhere) return "elsewhere";
  return task || !record.taskId ? "missing" : "unknown";
}

/** Whether the job is over: nothing is uploaded and nothing works on its task. */
export function isOver(job) {
  return isEnded(phaseOf(job));
}

/** Starts the upload of a file, or continues the one that was interrupted. */
export function startJob({ file, name, handle, kind, parameters }) {
  load();
  const record = {
    id: newKey(), userId: ownerId, name, size: file.size, modified: file.lastModified, kind, parameters,
    key: newKey(), url: null, taskId: null, addedAt: new Date().toISOString(),
  };
  const job = { record, upload: null, task: null, isElsewhere: false, handle: handle ?? null };
  jobs = new Map([[record.id, job], ...jobs]);
  saveRecord(record);
  if (handle) saveHandle(record.id, handle);
  changed();
  give(job, file);
  return job;
}

/** Whether a job was started with this version of this file. */
export function isFileOf({ record }, file, name) {
  return record.name === name && record.size === file.size && record.modified === file.lastModified;
}

/** The job that waits for this file. */
export function waitingFor(file, name) {
  return allJobs().find((job) => phaseOf(job) === "missing" && isFileOf(job, file, name));
}

/** Gives a job its file; the upload starts when it is its turn. */
export function give(job, file) {
  const { name, kind, parameters, key, url, taskId } = job.record;
  job.upload = new Upload({ file, name, kind, parameters, key, url, taskId }, () => onUpload(job));
  job.upload.sent = job.task?.progress?.done ?? 0;
  changed(job);
  next();
}

function onUpload(job) {
  const { upload, record } = job;
  if (record.url !== upload.url || record.taskId !== upload.taskId || record.key !== upload.key) {
    if (record.taskId !== upload.taskId) job.task = null;
    Object.assign(record, { url: upload.url, taskId: upload.taskId, key: upload.key });
    if (jobs.has(record.id)) saveRecord(record);
  }
  if (upload.state === "done") {
    removeHandle(record.id);
    read(job);
  }
  changed(job);
}

/** The jobs whose upload was started and does not rest. */
const running = new Set();

/** Starts waiting uploads, oldest first. */
function next() {
  for (const job of [...jobs.values()].reverse()) {
    if (running.size >= MOST_UPLOADS) return;
    if (job.upload?.state === "waiting" && !running.has(job)) continueJob(job);
  }
}

/** Starts an upload, or lets a paused or refused one continue before those that wait. */
export async function continueJob(job) {
  if (running.has(job)) return;
  running.add(job);
  const isMine = await whileUploading(job.record.id, () => job.upload.start());
  running.delete(job);
  if (!isMine) {
    Object.assign(job, { upload: null, isElsewhere: true });
    changed(job);
  }
  next();
}

/** Reads a missing file by its handle; the browser may ask for the permission, which needs a click.
 * Resolves to whether it was read. */
export async function continueByHandle(job) {
  if ((await job.handle.requestPermission({ mode: "read" })) !== "granted") return false;
  return giveByHandle(job);
}

async function giveByHandle(job) {
  const file = await job.handle.getFile().catch(() => null);
  if (!file || file.size !== job.record.size || file.lastModified !== job.record.modified) {
    job.handle = null;
    changed(job);
    return false;
  }
  give(job, file);
  return true;
}

/** Ends an upload and forgets it. */
export async function cancelJob(job) {
  forgetJob(job);
  try {
    if (job.upload) await job.upload.end();
    else if (job.task?.links.stop) await send("POST", job.task.links.stop);
  } catch (problem) {
    // What was not removed expires.
    if (problem.status !== 404 && problem.status !== 410) throw problem;
  } finally {
    next();
  }
}

/** Takes a job off the list. Its task stays. */
export function forgetJob(job) {
  if (!jobs.delete(job.record.id)) return;
  removeRecord(job.record.id);
  changed();
}

/** Adds a task that was made from the input of a job's task. */
export function addAgain(job, task, parameters) {
  const record = {
    ...job.record, id: newKey(), parameters: { ...job.record.parameters, ...parameters }, url: null, taskId: task.task_id,
    addedAt: new Date().toISOString(),
  };
  const again = { record, upload: null, task, isElsewhere: false, handle: null };
  jobs = new Map([[record.id, again], ...jobs]);
  saveRecord(record);
  changed();
  return again;
}

// --- Tasks -------------------------------------------------------------------------------------

/** Whether a task is shown later in its life than another one: events and answers overtake each other, and
 * `timestamp` is the time of the answer, which may be later than what it shows. */
function isNewer(task, other) {
  const changedAt = (shown) => [shown.created_at, shown.queued_at, shown.started_at, shown.finished_at].reduce((last, at) => (at > last ? at : last), "");
  const [mine, others] = [changedAt(task), changedAt(other)];
  return mine === others ? task.timestamp >= other.timestamp : mine > others;
}

function update(job, task) {
  if (job.task && !isNewer(task, job.task)) return;
  job.task = task;
  // A task that was stopped elsewhere takes no more bytes.
  if (task.state !== "initializing" && job.upload?.state === "waiting") job.upload.pause();
  changed(job);
}

async function read(job) {
  const { id, taskId } = job.record;
  if (!taskId) return;
  try {
    update(job, await get(`/v1/tasks/${taskId}`));
  } catch (problem) {
    if (problem.status === 404 && jobs.get(id) === job && !job.upload?.isActive) forgetJob(job);
    // Otherwise it is read again when the connection is back.
  }
}

async function readUnfinished() {
  const left = [...jobs.values()].filter((job) => !job.task || !isEnded(job.task.state));
  const reader = async () => {
    while (left.length) await read(left.shift());
  };
  await Promise.all(Array.from({ length: MOST_READS }, reader));
  for (const job of jobs.values()) {
    if (phaseOf(job) === "missing") await restore(job);
  }
}

/** Continues an upload after a reload, if the browser still permits reading the file. */
async function restore(job) {
  job.isElsewhere = await isUploading(job.record.id);
  if (!job.isElsewhere) {
    job.handle ??= await readHandle(job.record.id);
    const permission = job.handle && (await job.handle.queryPermission({ mode: "read" }).catch(() => null));
    if (permission === "granted" && phaseOf(job) === "missing") await giveByHandle(job);
  }
  changed(job);
}

let isListening = false;

/** Reads the records of the user, once for each. */
function load() {
  if (!user() || ownerId === user().user_id) return;
  for (const { upload } of jobs.values()) upload?.pause();
  ownerId = user().user_id;
  jobs = new Map(readRecords(ownerId).map((record) => [record.id, { record, upload: null, task: null, isElsewhere: false, handle: null }]));
  if (isListening) {
    readUnfinished();
    return;
  }
  isListening = true;
  onTask((task) => {
    for (const job of jobs.values()) {
      if (job.record.taskId === task.task_id) update(job, task);
    }
  });
  let hasStarted = false;
  onStatus((status) => {
    if (status === "reconnecting") jobs.forEach(({ upload }) => upload?.recheck());
    // Read at the start even without a connection for events, and again whenever that one is back.
    if (status === "live" || !hasStarted) readUnfinished();
    hasStarted = true;
  });
  onOtherTab(follow);
  setInterval(lookElsewhere, LOOK);
}

function follow(id, record) {
  const job = jobs.get(id);
  if (!record) {
    if (job && !job.upload?.isActive && jobs.delete(id)) changed();
  } else if (job) {
    if (!job.upload) Object.assign(job.record, record);
  } else if (record.userId === ownerId) {
    const added = { record, upload: null, task: null, isElsewhere: true, handle: null };
    jobs = new Map([[id, added], ...jobs]);
    changed();
    read(added);
  }
}

/** A tab that was closed uploads no more. */
async function lookElsewhere() {
  for (const job of jobs.values()) {
    if (job.upload || isOver(job)) continue;
    const isElsewhere = await isUploading(job.record.id);
    if (isElsewhere === job.isElsewhere) continue;
    job.isElsewhere = isElsewhere;
    if (!isElsewhere) await read(job);
    if (phaseOf(job) === "missing") await restore(job);
    changed(job);
  }
}
