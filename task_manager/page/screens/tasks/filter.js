// The filter of the list, which is the query of the address, as parameters of the API and in words.

import { KINDS, STATES } from "../../format.js";
import { query } from "../../router.js";

/** Periods by name: how many seconds, and how they are called. */
export const PERIODS = {
  "1h": [3_600, "Last hour", "of the last hour"],
  "24h": [86_400, "Last 24 hours", "of the last 24 hours"],
  "7d": [604_800, "Last 7 days", "of the last 7 days"],
  "30d": [2_592_000, "Last 30 days", "of the last 30 days"],
};

export const DEFAULT_SORT = "-created_at";

/** Orders of the list. */
export const SORTS = {
  "-created_at": "Newest first",
  created_at: "Oldest first",
  "-finished_at": "Last ended first",
  "-size": "Largest first",
  "-duration": "Longest first",
};

/** Parameters of the address that narrow the list down; the state is chosen by tabs. */
export const NARROWING = ["kind", "text", "error_code", "parameter", "user_id", "period", "from", "to"];

/** The shortest text that is also the beginning of an id. */
const MIN_ID_PREFIX = 6;

/**
 * The filter of the address. The start of a period is fixed here, so that the list, its counts and an action
 * on all of it mean the same tasks.
 */
export function readFilter(now = Date.now()) {
  const parameters = query();
  const period = PERIODS[parameters.get("period")];
  return {
    state: parameters.getAll("state").filter((state) => STATES.includes(state)),
    kind: parameters.getAll("kind").filter((kind) => kind in KINDS),
    text: parameters.get("text"),
    error_code: parameters.get("error_code"),
    parameter: parameters.getAll("parameter"),
    from: period ? new Date(now - period[0] * 1000).toISOString() : parameters.get("from"),
    to: period ? null : parameters.get("to"),
    // For administrators; one user's tasks are fewer than all.
    user_id: parameters.get("user_id"),
    all: parameters.get("all") === "true" && !parameters.get("user_id") ? "true" : null,
  };
}

/** The order of the address. */
export function readSort() {
  const sort = query().get("sort");
  return sort in SORTS ? sort : DEFAULT_SORT;
}

/** Whether anything but a state narrows the list down. */
export function isNarrowed() {
  return NARROWING.some((name) => query().has(name));
}

/** Which tasks are counted, such as `of your tasks of the last 7 days`. */
export function scopeWords() {
  const parameters = query();
  const period = PERIODS[parameters.get("period")]?.[2] ?? daysWords(parameters);
  const isMatch = ["kind", "text", "error_code", "parameter"].some((name) => parameters.has(name));
  const whose = parameters.get("user_id") ? "of a user's tasks" : parameters.get("all") === "true" ? "of all users' tasks" : isNarrowed() ? "of your tasks" : "of all your tasks";
  return [whose, period, isMatch && "that match"].filter(Boolean).join(" ");
}

function daysWords(parameters) {
  const [from, to] = [parameters.get("from"), parameters.get("to")];
  return [from && `from ${from}`, to && `before ${to}`].filter(Boolean).join(" ");
}

/** Whether a task matches; the same as the server decides. */
export function matches(task, filter) {
  const createdAt = Date.parse(task.created_at);
  return (
    (filter.state.length === 0 || filter.state.includes(task.state)) &&
    (filter.kind.length === 0 || filter.kind.includes(task.kind)) &&
    (!filter.user_id || task.owner?.user_id === filter.user_id) &&
    (!filter.error_code || task.error?.code === filter.error_code) &&
    (!filter.from || createdAt >= Date.parse(filter.from)) &&
    (!filter.to || createdAt < Date.parse(filter.to)) &&
    filter.parameter.every((parameter) => hasParameter(task, parameter)) &&
    hasText(task, filter.text)
  );
}

function hasText(task, text) {
  if (!text) return true;
  const lower = text.toLowerCase();
  return (
    task.file_name?.toLowerCase().includes(lower) ||
    (lower.length >= MIN_ID_PREFIX && task.task_id.startsWith(lower))
  );
}

function hasParameter(task, parameter) {
  const [name, value] = [parameter.slice(0, parameter.indexOf(":")), parameter.slice(parameter.indexOf(":") + 1)];
  return [task.parameters?.[name]].flat().some((item) => String(item) === value);
}
