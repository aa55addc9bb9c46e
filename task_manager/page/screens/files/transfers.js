// The uploads of this tab: which of them run, which wait, and how they get their files.

import { send } from "../../http.js";
import { Upload } from "../../uploads.js";
import { addJob, allJobs, changed, forgetJob, jobWith } from "./jobs.js";
import { whileUploading } from "./locks.js";
import { removeHandle, saveHandle, saveRecord } from "./records.js";

/** Uploads at a time: browsers open six connections per server, and the rest of the page needs some. */
const MOST_UPLOADS = 3;

/** Starts the upload of a file. */
export function startJob({ file, name, handle, kind, parameters }) {
  const job = addJob({ file, name, kind, parameters }, { handle });
  if (handle) saveHandle(job.record.id, handle);
  give(job, file);
  return job;
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
    if (jobWith(record.id)) saveRecord(record);
  }
  if (upload.state === "done") removeHandle(record.id);
  changed(job);
}

/** The jobs whose upload was started and does not rest. */
const running = new Set();

/** Starts waiting uploads, oldest first. */
function next() {
  for (const job of allJobs().reverse()) {
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

/** Reads a missing file by its handle, if it has not changed. */
export async function giveByHandle(job) {
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
