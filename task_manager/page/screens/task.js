// One task: what it does, what came of it, and what can be done with it.

import { h, replace } from "../dom.js";
import { isEnded } from "../format.js";
import { get, send } from "../http.js";
import { isNewer, onStatus, onTask } from "../live.js";
import { ask, problemBox, toast, toastProblem } from "../notices.js";
import { navigate } from "../router.js";
import { ACTIONS, consequence, isForeign, question } from "../states.js";
import { createCommands, createJson } from "./task/commands.js";
import { createFacts, createNotPossible } from "./task/facts.js";
import { createFailure } from "./task/failure.js";
import { createHead } from "./task/head.js";
import { createPreview } from "./task/preview.js";
import { createProgress } from "./task/progress.js";
import { createCsvPreview, createLoaded, createRejected } from "./task/rows.js";
import { openRunAgain, runAgain } from "./task/run_again.js";
import { createTimeline } from "./task/timeline.js";
import { taskName } from "./tasks/words.js";

export const title = "Task";

/** How often a running task is read if no event of it arrives, in milliseconds. */
const SILENCE = 5_000;

export function mount(root, { id }) {
  const path = `/v1/tasks/${encodeURIComponent(id)}`;
  const request = new AbortController();
  let task = null;
  let parts = null;
  /** How far the clock of this device is behind the server's, and when the task was received. */
  let offset = 0;
  let receivedAt = 0;
  const now = () => Date.now() + offset;

  function createParts() {
    const callbacks = { act, runAgain: openForm, openForm, runWith };
    const data = isForeign(task) ? [] : [createPreview(), createRejected(), createLoaded()];
    return [
      createHead(callbacks), createFailure(callbacks), createProgress(now), createTimeline(now), createFacts(), createNotPossible(),
      ...data, createCsvPreview(), createCommands(), createJson(),
    ];
  }

  function receive(next) {
    if (next.task_id !== id || request.signal.aborted) return;
    if (task && !isNewer(next, task)) return;
    // Events and answers to actions do not name the owner.
    task = { ...next, owner: next.owner ?? task?.owner ?? null };
    offset = Date.parse(next.timestamp) - Date.now();
    receivedAt = Date.now();
    if (!parts) {
      parts = createParts();
      replace(root, parts.map(({ element }) => element));
    }
    document.title = `${taskName(task)} · Task platform`;
    for (const part of parts) part.update(task);
  }

  async function read() {
    receivedAt = Date.now();
    try {
      receive(await get(path, {}, { signal: request.signal }));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      if (problem.status === 404) showMissing();
      else if (!parts) replace(root, problemBox(problem, read));
    }
  }

  function showMissing() {
    parts = null;
    task = null;
    document.title = "No such task · Task platform";
    replace(root, h(
      "div",
      { class: "card empty" },
      h("h2", {}, "There is no task with this id"),
      h("p", {}, "It does not exist, was deleted, or belongs to another user. ", h("a", { href: "/tasks" }, "Look at your tasks")),
    ));
  }

  async function act(action) {
    const { label, isDanger } = ACTIONS[action];
    if (action !== "resume") {
      const isConfirmed = await ask({ title: question(action, 1), text: [isForeign(task) && `The task belongs to ${task.owner.username ?? "a user who was removed"}.`, consequence(action)].filter(Boolean), confirm: label, kind: isDanger ? "danger" : "primary" });
      if (!isConfirmed) return;
    }
    try {
      const answer = await send(action === "delete" ? "DELETE" : "POST", task.links[action]);
      if (action === "delete") {
        toast(`${taskName(task)} is deleted.`, { kind: "good" });
        navigate("/tasks");
        return;
      }
      receive(answer);
    } catch (problem) {
      toastProblem(problem);
      read();
    }
  }

  function openForm() {
    openRunAgain(task, onStarted);
  }

  async function runWith(parameters) {
    try {
      onStarted(await runAgain(task, parameters));
    } catch (problem) {
      toastProblem(problem);
    }
  }

  function onStarted(next) {
    toast("Started as a new task.", { kind: "good" });
    navigate(`/tasks/${next.task_id}`);
  }

  root.append(h("div", { class: "task-loading", "aria-busy": "true" }, h("h1", {}, title), h("p", { class: "soft" }, "Loading")));
  read();
  const stopTasks = onTask(receive);
  let wasLost = false;
  const stopStatus = onStatus((status) => {
    if (status === "live" && wasLost) read();
    wasLost = status === "reconnecting";
  });
  const timer = setInterval(() => {
    if (!task || document.hidden || isEnded(task.state)) return;
    if (Date.now() - receivedAt > SILENCE) read();
    for (const part of parts) (part.tick ?? part.update)(task);
  }, 1_000);

  return () => {
    request.abort();
    clearInterval(timer);
    stopTasks();
    stopStatus();
    for (const part of parts ?? []) part.destroy?.();
  };
}
