// The row of a file that was started: its progress, its actions, and its result below it.

import { h, replace } from "../../dom.js";
import { bytes, exactTime, kindName, time } from "../../format.js";
import { newKey, send } from "../../http.js";
import { icon } from "../../icons.js";
import { ask, toast, toastProblem } from "../../notices.js";
import { isViewer } from "../../session.js";
import { forgetJob, isFileOf, phaseOf } from "./jobs.js";
import { prepareAgain } from "./prepared.js";
import { progressBar, showWords } from "./progress.js";
import { detailsOf } from "./result.js";
import { chooseFiles } from "./sources.js";
import { cancelJob, continueByHandle, continueJob, give } from "./transfers.js";

/**
 * The row of a job: `update` shows its changes, `stop` ends what it loads.
 *
 * @param {{isOpen: boolean, onToggle: (isOpen: boolean) => void}} options
 */
export function fileRow(job, { isOpen, onToggle }) {
  const { record } = job;
  const bar = progressBar();
  const words = h("div", { class: "words" });
  const name = h("span", { class: "row-title" });
  const actions = h("div", { class: "row-actions" });
  const panel = h("div", { class: "row-panel", id: `panel-${record.id}` });
  const toggle = h("button", { class: "icon-button toggle", type: "button", "aria-controls": panel.id, "aria-label": `Details of ${record.name}`, onclick: () => setOpen(!isOpen) }, icon("next"));
  const element = h(
    "li",
    { class: "file-row", dataset: { file: record.name } },
    h(
      "div",
      { class: "file-line" },
      toggle,
      h(
        "div",
        { class: "row-what" },
        name,
        h("div", { class: "soft small row-facts" }, h("span", { class: "nowrap" }, kindName(record.kind)), h("span", { class: "nowrap" }, bytes(record.size)), time(record.addedAt)),
      ),
      h("div", { class: "row-progress" }, bar.element, words),
      actions,
    ),
    panel,
  );
  let shownActions = null;
  let shownPanel = null;
  let stopPanel = () => {};

  function setOpen(next) {
    isOpen = next;
    onToggle(isOpen);
    showPanel();
  }

  function showPanel() {
    const phase = phaseOf(job);
    toggle.setAttribute("aria-expanded", String(isOpen));
    panel.hidden = !isOpen;
    const wanted = isOpen ? phase : null;
    if (wanted === shownPanel) return;
    shownPanel = wanted;
    stopPanel();
    stopPanel = () => {};
    if (!wanted) return replace(panel);
    const details = detailsOf(job, phase);
    stopPanel = details.stop;
    replace(panel, details.element);
  }

  function update() {
    const phase = phaseOf(job);
    const href = record.taskId && (job.task || phase !== "unknown") ? `/tasks/${record.taskId}` : null;
    if (name.dataset.href !== String(href)) {
      name.dataset.href = String(href);
      replace(name, href ? h("a", { class: "name", href, title: record.name }, record.name) : h("span", { class: "name", title: record.name }, record.name));
    }
    bar.update(job);
    showWords(words, job);
    const next = actionsOf(job, phase);
    const signature = next.map(({ key }) => key).join();
    if (signature !== shownActions) {
      const hadFocus = actions.contains(document.activeElement);
      shownActions = signature;
      replace(actions, next.map(({ element: button }) => button));
      if (hadFocus) (actions.querySelector("a, button") ?? toggle).focus();
    }
    if (job.opensAtEnd && ["processed", "failed"].includes(phase)) {
      job.opensAtEnd = false;
      if (!isOpen) return setOpen(true);
    }
    showPanel();
  }

  update();
  return { element, update, stop: () => stopPanel() };
}

function actionsOf(job, phase) {
  const { task } = job;
  const found = [];
  const add = (key, element) => found.push({ key, element });
  const button = (key, label, run, options = {}) =>
    add(key, h("button", { class: `small ${options.class ?? ""}`, type: "button", "aria-label": `${label} ${job.record.name}`, onclick: () => Promise.resolve(run()).catch(toastProblem) }, options.icon && icon(options.icon), label));
  if (["starting", "uploading", "reconnecting", "waiting"].includes(phase)) button("pause", "Pause", () => job.upload.pause());
  if (phase === "paused") button("continue", "Continue", () => continueJob(job), { icon: "play" });
  const isRefusedForGood = phase === "refused" && job.upload.problem?.status === 422;
  if (isRefusedForGood) button("change", "Change", () => change(job));
  else if (phase === "refused") button("retry", "Try again", () => continueJob(job), { icon: "again" });
  if (phase === "missing" && job.handle) button("permit", "Continue", () => permit(job), { icon: "play", class: "primary" });
  if (job.upload && ["starting", "uploading", "reconnecting", "waiting", "paused", "refused"].includes(phase)) button("cancel", "Cancel", () => cancel(job));
  if (phase === "missing" && !job.handle) button("choose", "Choose file", () => chooseFiles((sources) => giveChosen(job, sources)));
  if (phase === "missing") button("cancel-missing", "Cancel", () => cancel(job));
  if (["queued", "processing"].includes(phase) && task?.links.stop && !isViewer()) button("stop", "Stop", () => stop(job), { icon: "stopped" });
  if (phase === "processed" && task.links.download) {
    add("download", h("a", { class: "button primary small", href: task.links.download, download: true, "aria-label": `Download the result of ${job.record.name}` }, icon("download"), "Download"));
  }
  if (["failed", "killed"].includes(phase) && task.links.resume && phase === "killed" && !isViewer()) button("resume", "Resume", () => send("POST", task.links.resume), { icon: "play" });
  if (["processed", "failed", "stopped", "killed"].includes(phase)) {
    add("forget", h("button", { class: "icon-button", type: "button", "aria-label": `Take ${job.record.name} off the list`, title: "Take off the list", onclick: () => forgetJob(job) }, icon("close")));
  }
  return found;
}

async function change(job) {
  await prepareAgain(job);
  await cancelJob(job);
}

async function permit(job) {
  const isRead = await continueByHandle(job).catch(() => false);
  if (!isRead) toast(`${job.record.name} was not read. Drop or choose it again to continue.`, { kind: "bad" });
}

/** Continues with the chosen file, if it is the same as before. */
function giveChosen(job, sources) {
  const same = sources.find(({ file, name }) => isFileOf(job, file, name));
  if (same) return give(job, same.file);
  toast(`This is not the same file: ${job.record.name} had ${bytes(job.record.size)} and was changed at ${exactTime(job.record.modified)}.`, { kind: "bad" });
}

async function cancel(job) {
  await cancelJob(job);
  toast(`The upload of ${job.record.name} was cancelled.`);
}

async function stop(job) {
  const isSure = await ask({
    title: `Stop ${job.record.name}?`,
    text: ["The task ends and everything it has done is removed. It cannot be resumed."],
    confirm: "Stop",
    kind: "danger",
  });
  if (isSure && job.task.links.stop) await send("POST", job.task.links.stop, { key: newKey() });
}
