// The states of tasks as icon and word, the actions on tasks, and what each does to the data.

import { h } from "./dom.js";
import { count, isEnded } from "./format.js";
import { icon } from "./icons.js";
import { isViewer, user } from "./session.js";

/** `Processing`. */
export function stateName(state) {
  return state.charAt(0).toUpperCase() + state.slice(1);
}

/** A state as icon and word, in its colour. */
export function stateBadge(state) {
  return badge(state, stateName(state));
}

/** Another text in the colour of a state, with its icon or another one. */
export function badge(state, text, symbol = state) {
  return h("span", { class: `state state-${state}` }, icon(symbol), text);
}

/** The actions on tasks, in the order of their buttons; `progressive` is for reports on a bulk action. */
export const ACTIONS = {
  stop: { label: "Stop", past: "stopped", progressive: "Stopping", icon: "stopped", isDanger: true },
  kill: { label: "Kill", past: "killed", progressive: "Killing", icon: "killed", isDanger: true },
  resume: { label: "Resume", past: "resumed", progressive: "Resuming", icon: "play", isDanger: false },
  delete: { label: "Delete", past: "deleted", progressive: "Deleting", icon: "trash", isDanger: true },
};

/** Whether the task belongs to another user; administrators may end and delete such tasks, but not read their
 * data. */
export function isForeign({ owner }) {
  return Boolean(owner) && owner.user_id !== user()?.user_id;
}

const NO_CHANGES = "Your account may look but not change anything.";

/** Why actions on many tasks of a user are not possible; `null` if they are. */
export function reasonAgainstMany(owner) {
  if (isViewer()) return NO_CHANGES;
  return isForeign({ owner }) ? "Actions on many tasks concern only your own. Open a task of another user to act on it." : null;
}

/** Why an action is not possible on this task now; `null` if it is. */
export function reasonAgainst(action, task) {
  if (isViewer()) return NO_CHANGES;
  if (action === "run_again" && isForeign(task)) return "Only the owner of the task can run it again, since that reads its file.";
  return task.links[action] ? null : REASONS[action](task);
}

const REASONS = {
  stop: ({ state }) =>
    state === "processed" ? "The task has completed. Delete it to remove its data."
    : state === "stopping" ? "The task is being stopped already."
    : state === "stopped" ? "The task is stopped already."
    : "The task cannot be stopped now.",
  kill: ({ state }) =>
    state === "initializing" ? "The file is still arriving. Stop the task to end the upload."
    : state === "stopping" ? "The task is being stopped."
    : isEnded(state) ? "The task has ended: nothing runs that could be killed."
    : "The task cannot be killed now.",
  resume: ({ state }) =>
    ["killed", "failed"].includes(state) ? "The files of the task are gone."
    : ["stopped", "stopping"].includes(state) ? "The data of a stopped task is rolled back. Run it again instead."
    : state === "processed" ? "The task has completed."
    : "Only killed and failed tasks can be resumed.",
  delete: () => "The task has not ended. Stop or kill it first.",
  run_again: ({ state, file_name: fileName }) =>
    !isEnded(state) ? "The task has not ended yet."
    : fileName ? "The file of the task is gone."
    : "Tasks of this kind have no input to run again.",
};

/** What an action does to the data of `tasks` tasks, in sentences. */
export function consequence(action, tasks = 1) {
  return (tasks === 1 ? ONE : MANY)[action];
}

const ONE = {
  stop: "Stopping ends the task and rolls back everything it wrote: loaded rows, results and partial files are removed. It cannot be resumed afterwards.",
  kill: "Killing ends the task where it is. Everything up to its last checkpoint is kept, and it can be resumed from there.",
  resume: "The task is queued again and continues at its last checkpoint, or from the start if it has none.",
  delete: "The task is removed from the list with everything it made: its input file, results, and loaded rows. This cannot be undone.",
  run_again: "A new task processes a copy of the same input, without another upload. This task and its results stay as they are.",
};

const MANY = {
  stop: "Stopping ends the tasks and rolls back everything they wrote: loaded rows, results and partial files are removed. They cannot be resumed afterwards.",
  kill: "Killing ends the tasks where they are. Everything up to their last checkpoints is kept, and they can be resumed from there.",
  resume: "The tasks are queued again and continue at their last checkpoints, or from the start if they have none.",
  delete: "The tasks are removed from the list with everything they made: input files, results, and loaded rows. This cannot be undone.",
};

/** `Stop 12 tasks?` */
export function question(action, tasks) {
  return `${ACTIONS[action].label} ${tasks === 1 ? "this task" : count(tasks, "task")}?`;
}
