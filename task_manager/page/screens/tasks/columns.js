// The columns of the list of tasks.

import { h } from "../../dom.js";
import { bytes, duration, kindName, shortId, time } from "../../format.js";
import { stateBadge } from "../../states.js";
import { outcomeWords, share, taskName } from "./words.js";

export const HEIGHTS = { wide: 48, narrow: 58 };

const STATE = { name: "state", label: "State", render: ({ state }) => stateBadge(state) };

const TASK = {
  name: "task",
  label: "Task",
  render: (task) => [
    h("a", { class: "name", href: `/tasks/${task.task_id}`, title: taskName(task), tabindex: -1 }, taskName(task)),
    h(
      "span",
      { class: "soft small name" },
      task.file_name && `${kindName(task.kind)} · `,
      h("span", { class: "mono", title: task.task_id }, shortId(task.task_id)),
    ),
  ],
};

const OUTCOME = {
  name: "outcome",
  label: "Progress or result",
  render: (task) => {
    const words = outcomeWords(task);
    const detail = task.state === "failed" ? task.error?.detail : null;
    return [
      h("span", { class: "name", title: detail ?? words }, words),
      task.state === "processing" ? progressBar(task) : h("span", { class: "soft small name" }, detail),
    ];
  },
};

function progressBar(task) {
  const done = share(task);
  return h(
    "span",
    { class: "outcome-bar" },
    done !== null && h("span", { class: "progress" }, h("div", { style: { width: `${done * 100}%` } })),
    task.worker?.name && h("span", { class: "soft small name", title: `Worker ${task.worker.name}` }, task.worker.name),
  );
}

const SIZE = { name: "size", label: "Size", render: ({ size }) => (size === null ? "" : bytes(size)) };

const DURATION = {
  name: "duration",
  label: "Duration",
  render: (task) => (task.duration === null || task.duration === undefined ? "" : duration(task.duration)),
};

const OWNER = {
  name: "owner",
  label: "Owner",
  render: ({ owner }) => {
    const name = owner?.username ?? owner?.user_id ?? "";
    return h("span", { class: "name", title: name }, name);
  },
};

const CREATED = { name: "created", label: "Created", render: ({ created_at: createdAt }) => time(createdAt) };

/** The columns; `owner` is for lists of all users' tasks. */
export function columns(hasOwner) {
  return [STATE, TASK, OUTCOME, SIZE, DURATION, hasOwner && OWNER, CREATED].filter(Boolean);
}
