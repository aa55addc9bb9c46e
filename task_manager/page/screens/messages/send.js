// Sends a message, and follows its task until the message is tracked.

import { h, replace } from "../../dom.js";
import { STATES, duration, isEnded, number } from "../../format.js";
import { newKey, send } from "../../http.js";
import { icon } from "../../icons.js";
import { isNewer, onTask } from "../../live.js";
import { problemBox } from "../../notices.js";
import { categoryTag } from "./row.js";

const WAY = ["queued", "processing", "processed"];
const WAY_NAMES = { queued: "Queued", processing: "A number is drawn", processed: "Tracked" };
/** The server accepts this many bytes of UTF-8. */
const LIMIT = 16 * 1024;
/** How many of the sent messages are shown. */
const SHOWN = 3;

/** A form; `onTracked` is called when a message has been tracked. */
export function sendForm(onTracked) {
  const area = h("textarea", { name: "message", required: true, rows: 3, placeholder: "The parcel has arrived.", "aria-label": "Message", oninput: measure });
  const button = h("button", { class: "primary", type: "submit" }, "Send");
  const size = h("span", { class: "soft small" }, "Ctrl + Enter sends");
  const notice = h("div");
  const sent = h("ul", { class: "travels", "aria-live": "polite", "aria-label": "Sent messages" });
  const travels = new Map();
  // A repeated request must have the same key, so that the message is sent once.
  let key = newKey();

  function measure() {
    const bytes = new TextEncoder().encode(area.value).length;
    area.setCustomValidity(bytes > LIMIT ? `A message has at most ${number(LIMIT)} bytes.` : "");
    size.textContent = bytes > LIMIT * 0.9 ? `${number(bytes)} of ${number(LIMIT)} bytes` : "Ctrl + Enter sends";
  }

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    replace(notice);
    const message = area.value;
    try {
      const task = await send("POST", "/v1/messages", { json: { message }, key });
      key = newKey();
      form.reset();
      measure();
      add(task, message);
    } catch (problem) {
      if (!problem.isTemporary) key = newKey();
      replace(notice, problemBox(problem));
    }
    button.disabled = false;
    area.focus();
  }

  function add(task, message) {
    const element = h("li");
    travels.set(task.task_id, { element, message, number: task.request_count });
    sent.prepend(element);
    for (const old of [...sent.children].slice(SHOWN)) old.remove();
    show(early.get(task.task_id) ?? task);
  }

  function show(task) {
    const travel = travels.get(task.task_id);
    if (travel.task && !isNewer(task, travel.task)) return;
    travel.task = task;
    replace(travel.element, travelOf(task, travel));
  }

  // A change may arrive before the answer to the request that made the task.
  const early = new Map();
  const stop = onTask((task) => {
    if (task.kind !== "message_validation") return;
    if (!travels.has(task.task_id)) {
      early.set(task.task_id, task);
      if (early.size > 100) early.delete(early.keys().next().value);
      return;
    }
    show(task);
    if (task.state === "processed") onTracked();
  });

  const form = h(
    "form",
    { class: "stack", onsubmit: submit, onkeydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && form.requestSubmit() },
    h("h2", {}, "Send a message"),
    area,
    notice,
    h("div", { class: "spread" }, size, button),
    sent,
  );
  return { element: form, stop };
}

function travelOf(task, { message, number: drawn }) {
  return [
    h("div", { class: "spread" }, h("a", { class: "name", href: `/tasks/${task.task_id}`, title: message.slice(0, 500) }, message.slice(0, 200)), h("span", { class: "soft small nowrap" }, `No. ${number(drawn)}`)),
    h("ol", { class: "way" }, WAY.map((state) => step(state, task))),
  ];
}

function step(state, task) {
  const isFailed = isEnded(task.state) && task.state !== "processed";
  const reached = STATES.indexOf(task.state) >= STATES.indexOf(state);
  const isCurrent = task.state === state;
  if (isFailed && state === "processed") return h("li", { class: `state state-${task.state}` }, icon(task.state), task.error?.title ?? task.state);
  const look = !reached ? "way-ahead" : isCurrent ? `state-${state}` : "state-processed";
  return h(
    "li",
    { class: `state ${look}`, "aria-current": isCurrent ? "step" : null },
    icon(reached && !isCurrent ? "processed" : state),
    isCurrent && state === "processed" ? outcome(task) : WAY_NAMES[state],
  );
}

function outcome({ result, created_at: from, finished_at: to }) {
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  return ["Tracked as ", categoryTag(result?.category ?? "–"), h("span", { class: "soft small" }, `after ${duration(seconds)}`)];
}
