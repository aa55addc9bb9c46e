// The files of this browser, from the start of their upload to the end of their task. They live as long as the
// page, so uploads continue on every screen; records keep them over a reload. Not here: their uploads
// (transfers.js), reading their tasks (follow.js), and what they look like.

import { isEnded } from "../../format.js";
import { newKey } from "../../http.js";
import { user } from "../../session.js";
import { readRecords, removeRecord, saveRecord } from "./records.js";

/**
 * A file: its record, its upload in this tab, and its task as the server last showed it.
 *
 * @typedef {object} Job
 * @property {import("./records.js").FileRecord} record
 * @property {import("../../uploads.js").Upload|null} upload
 * @property {object|null} task
 * @property {boolean} isElsewhere whether another tab uploads it
 * @property {FileSystemFileHandle|null} handle reads the file again after one click
 * @property {boolean} [opensAtEnd] whether the result is shown when it has come
 */

/** @type {Map<string, Job>} newest first */
let jobs = new Map();
let ownerId = null;
const listeners = new Set();

/** Reads the records of the user, if they are not read yet; returns whether they were. */
export function openJobs() {
  const userId = user()?.user_id ?? null;
  if (userId === ownerId) return false;
  for (const { upload } of jobs.values()) upload?.pause();
  ownerId = userId;
  jobs = new Map(readRecords(userId).map((record) => [record.id, jobOf(record)]));
  return true;
}

function jobOf(record, found = {}) {
  return { record, upload: null, task: null, isElsewhere: false, handle: null, ...found };
}

/** Calls back with a changed job, or without one when the list has changed, until the returned function is called. */
export function onJobs(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

/** Says that a job, or the list, has changed. */
export function changed(job) {
  for (const callback of [...listeners]) callback(job);
}

/** The jobs of the user, newest first. */
export function allJobs() {
  return [...jobs.values()];
}

/** The job with an id, if it is on the list. */
export function jobWith(id) {
  return jobs.get(id);
}

/** Adds a job for a new file. */
export function addJob({ file, name, kind, parameters }, found) {
  return add(newRecord({ name, size: file.size, modified: file.lastModified, kind, parameters, taskId: null }), found);
}

/** Adds a task that was made from the input of a job's task. */
export function addAgain({ record }, task, parameters) {
  const { name, size, modified, kind } = record;
  return add(newRecord({ name, size, modified, kind, parameters: { ...record.parameters, ...parameters }, taskId: task.task_id }), { task });
}

function newRecord(facts) {
  return { id: newKey(), userId: ownerId, key: newKey(), url: null, addedAt: new Date().toISOString(), isOver: false, ...facts };
}

function add(record, found) {
  saveRecord(record);
  return addRecord(record, found);
}

/** Adds a job for a record that is stored already; `null` for one of another user. */
export function addRecord(record, found) {
  if (record.userId !== ownerId) return null;
  const job = jobOf(record, found);
  jobs = new Map([[record.id, job], ...jobs]);
  changed();
  return job;
}

/** Takes a job off the list. Its task stays. */
export function forgetJob({ record }) {
  if (!jobs.delete(record.id)) return;
  removeRecord(record.id);
  changed();
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

/** Whether a job was started with this version of this file. */
export function isFileOf({ record }, file, name) {
  return record.name === name && record.size === file.size && record.modified === file.lastModified;
}

/** The job that waits for this file. */
export function waitingFor(file, name) {
  return allJobs().find((job) => phaseOf(job) === "missing" && isFileOf(job, file, name));
}
