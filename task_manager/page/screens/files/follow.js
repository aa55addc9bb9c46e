// Keeps the tasks of the jobs up to date: by the events of the server, and by reading them after a reload, after a
// lost connection and at the end of an upload. Also follows what other tabs do.

import { isEnded } from "../../format.js";
import { get } from "../../http.js";
import { isNewer, onStatus, onTask } from "../../live.js";
import { addRecord, allJobs, changed, forgetJob, isOver, jobWith, onJobs, openJobs, phaseOf } from "./jobs.js";
import { isUploading } from "./locks.js";
import { onOtherTab, readHandle, saveRecord } from "./records.js";
import { giveByHandle } from "./transfers.js";

/** Tasks that are read at a time after a reload. */
const MOST_READS = 4;
/** Milliseconds between two looks at whether another tab still uploads a file. */
const LOOK = 3_000;

let isFollowing = false;
/** Ends when the tasks are read. */
let reading = null;

/** Resolves when it is known which uploads wait for their files. */
export async function tasksAreRead() {
  await reading;
}

/** Opens the jobs of the user and follows them as long as the page lives. */
export function followJobs() {
  const isNew = openJobs();
  if (isFollowing) {
    if (isNew) reading = readUnfinished();
    return;
  }
  isFollowing = true;
  onTask((task) => {
    for (const job of allJobs()) {
      if (job.record.taskId === task.task_id) update(job, task);
    }
  });
  // Its task may have been queued before the connection for events knew it.
  onJobs((job) => {
    if (job?.upload?.state === "done" && !wasRead.has(job.upload)) {
      wasRead.add(job.upload);
      read(job);
    }
  });
  let hasStarted = false;
  onStatus((status) => {
    if (status === "reconnecting") allJobs().forEach(({ upload }) => upload?.recheck());
    // Read at the start even without a connection for events, and again whenever that one is back.
    if (status === "live" || !hasStarted) reading = readUnfinished();
    hasStarted = true;
  });
  onOtherTab(followTab);
  setInterval(lookElsewhere, LOOK);
}

/** Uploads whose task was read at their end. */
const wasRead = new WeakSet();

function update(job, task) {
  if (job.task && !isNewer(task, job.task)) return;
  job.task = task;
  const { record } = job;
  if (record.isOver !== isEnded(task.state) && jobWith(record.id)) {
    record.isOver = isEnded(task.state);
    saveRecord(record);
  }
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
    if (problem.status === 404 && jobWith(id) === job && !job.upload?.isActive) forgetJob(job);
    // Otherwise it is read again when the connection is back.
  }
}

async function readUnfinished() {
  const left = allJobs().filter((job) => !job.task || !isEnded(job.task.state));
  const reader = async () => {
    while (left.length) await read(left.shift());
  };
  await Promise.all(Array.from({ length: MOST_READS }, reader));
  for (const job of allJobs()) {
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

function followTab(id, record) {
  const job = jobWith(id);
  if (!record) {
    if (job && !job.upload?.isActive) forgetJob(job);
  } else if (job) {
    if (!job.upload) Object.assign(job.record, record);
  } else {
    const added = addRecord(record, { isElsewhere: true });
    if (added) read(added);
  }
}

/** A tab that was closed uploads no more. */
async function lookElsewhere() {
  for (const job of allJobs()) {
    if (job.upload || isOver(job)) continue;
    const isElsewhere = await isUploading(job.record.id);
    if (isElsewhere === job.isElsewhere) continue;
    job.isElsewhere = isElsewhere;
    if (!isElsewhere) await read(job);
    if (phaseOf(job) === "missing") await restore(job);
    changed(job);
  }
}
