// An action on many tasks: asks with what it does to the data and to how many tasks, starts it, and reports.

import { count, isEnded, number } from "../../format.js";
import { get, newKey, send } from "../../http.js";
import { onTask } from "../../live.js";
import { ask, toast, toastProblem } from "../../notices.js";
import { navigate } from "../../router.js";
import { ACTIONS, consequence, question } from "../../states.js";

const PATH = "/v1/tasks/actions";
/** How many tasks may be named by their ids. */
export const MAX_IDS = 1_000;
/** How often the progress is asked for in case its events do not arrive, in milliseconds. */
const POLL = 3_000;

/**
 * @param {string} action
 * @param {{ids: string[]}|{filter: object}} tasks
 * @param {{isAllUsers: boolean, onEnd: () => void}} options `isAllUsers` is whether tasks of others are listed, on
 *   which the action has no effect
 * @returns {Promise<boolean>} whether the action was started
 */
export async function actOnMany(action, tasks, { isAllUsers, onEnd }) {
  if (tasks.ids?.length > MAX_IDS) {
    toast(`Select at most ${number(MAX_IDS)} tasks, or all that match.`, { kind: "bad" });
    return false;
  }
  let numbers;
  try {
    numbers = await send("POST", PATH, { json: { action, ...tasks, dry_run: true } });
  } catch (problem) {
    toastProblem(problem);
    return false;
  }
  if (numbers.possible === 0) {
    toast(`No task of the ${number(numbers.matched)} can be ${ACTIONS[action].past} in its current state.`, { kind: "bad" });
    return false;
  }
  const { label, isDanger } = ACTIONS[action];
  const isConfirmed = await ask({
    title: question(action, numbers.possible),
    text: [
      consequence(action, numbers.possible),
      othersWords(action, numbers),
      isAllUsers && "It concerns only your own tasks, not those of other users.",
    ].filter(Boolean),
    confirm: `${label} ${count(numbers.possible, "task")}`,
    kind: isDanger ? "danger" : "primary",
  });
  if (!isConfirmed) return false;
  try {
    const task = await send("POST", PATH, { json: { action, ...tasks, dry_run: false }, key: newKey() });
    report(action, task, onEnd);
    return true;
  } catch (problem) {
    toastProblem(problem);
    return false;
  }
}

function othersWords(action, { matched, possible }) {
  const others = matched - possible;
  if (others === 0) return null;
  return `${count(others, "other task")} of the ${number(matched)} cannot be ${ACTIONS[action].past} now and ${others === 1 ? "stays as it is" : "stay as they are"}.`;
}

/** Shows the progress of a bulk action as a message until it ends. */
function report(action, first, onEnd) {
  const { progressive } = ACTIONS[action];
  const id = first.task_id;
  const message = toast(`${progressive} tasks`, { isLasting: true, action: { label: "Show", run: () => navigate(`/tasks/${id}`) } });
  const end = () => {
    stopListening();
    clearInterval(timer);
  };
  const receive = (task) => {
    if (task.task_id !== id) return;
    if (!isEnded(task.state)) {
      const { done, total } = task.progress ?? {};
      if (total) message.say(`${progressive} tasks: ${number(done)} of ${number(total)}`);
      return;
    }
    end();
    message.close();
    const isDone = task.state === "processed";
    toast(isDone ? resultWords(action, task.result) : `${progressive} tasks ended early: the action is ${task.state}.`, {
      kind: isDone ? "good" : "bad",
      action: { label: "Show", run: () => navigate(`/tasks/${id}`) },
    });
    onEnd();
  };
  const stopListening = onTask(receive);
  const timer = setInterval(() => get(`/v1/tasks/${id}`).then(receive, () => {}), POLL);
  receive(first);
}

function resultWords(action, result) {
  const done = `${count(result.done, "task")} ${ACTIONS[action].past}`;
  return result.not_possible > 0 ? `${done}, ${number(result.not_possible)} not possible.` : `${done}.`;
}
