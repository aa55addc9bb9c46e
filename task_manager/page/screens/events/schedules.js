// The schedules that mail the report, each in plain words, and the mails of the last time.

import { h, replace } from "../../dom.js";
import { exactTime, shortId, time } from "../../format.js";
import { get, newKey, send } from "../../http.js";
import { icon } from "../../icons.js";
import { ask, problemBox, toast, toastProblem } from "../../notices.js";
import { gathered, latest } from "../../refresh.js";
import { tableBox } from "../../sections.js";
import { cronWords } from "./cron.js";
import { scheduleForm } from "./form.js";
import { mailRow, outcome } from "./mails.js";

const MAILS = 10;

/** The section of the schedules; `changed` is to be called with each changed task that mails a report. */
export function schedules() {
  const list = h("div", { class: "stack" });
  const mails = h("tbody");
  const mailBox = h("div", { class: "stack", hidden: true }, h("h3", {}, "Your last mails"), tableBox("Last mails", ["Created", "Outcome", { text: "Attempts", numeric: true }], mails));
  const element = h(
    "section",
    { class: "card stack" },
    h("div", { class: "spread" }, h("h2", {}, "Mailed reports"), h("button", { class: "small", onclick: () => edit(null) }, "Add a schedule")),
    list,
    mailBox,
  );
  let editing = null;

  const run = latest((problem) => replace(list, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const [all, sent] = await Promise.all([
      get("/v1/schedules", {}, { signal }),
      get("/v1/tasks", { kind: "report_email", page_size: MAILS }, { signal }),
    ]);
    mailBox.hidden = sent.items.length === 0;
    replace(mails, sent.items.map(mailRow));
    // A form that is open keeps what was typed into it.
    if (editing) return;
    replace(list, all.items.length ? all.items.map((schedule) => card(schedule, { edit, load })) : h("p", { class: "soft" }, "No schedule mails the report."));
  });

  function edit(schedule) {
    const close = () => {
      editing = null;
      load();
    };
    editing = scheduleForm(schedule, close);
    const old = schedule && list.querySelector(`[data-name="${schedule.name}"]`);
    if (old) old.replaceWith(editing);
    else list.append(editing);
    editing.querySelector("input").focus();
  }

  const reload = gathered(load, 300);
  return {
    element,
    load,
    changed: reload,
    stop() {
      reload.cancel();
      run.abort();
    },
  };
}

function card(schedule, { edit, load }) {
  const { name, recipients, enabled, problem, last_task: last } = schedule;
  return h(
    "div",
    { class: "schedule stack", dataset: { name } },
    h(
      "div",
      { class: "spread" },
      h("div", {}, h("h3", { class: "name", title: name }, name), h("p", {}, inWords(schedule))),
      h(
        "div",
        { class: "row" },
        h("button", { class: "primary", onclick: (event) => runNow(name, event.currentTarget, load) }, icon("play"), "Send now"),
        h("button", { onclick: () => edit(schedule) }, "Edit"),
        h("button", { class: "icon-button", "aria-label": `Remove ${name}`, title: "Remove", onclick: () => remove(name, load) }, icon("trash")),
      ),
    ),
    problem && h("p", { class: "note warn" }, problem),
    h(
      "dl",
      { class: "facts" },
      h("dt", {}, "To"),
      h("dd", { class: "wrap" }, recipients.length ? recipients.join(", ") : "the default recipients of the worker (mail_to)"),
      h("dt", {}, "Next"),
      h("dd", {}, enabled && schedule.next_due ? time(schedule.next_due) : "never: it is switched off"),
      h("dt", {}, "Last"),
      h("dd", {}, schedule.last_run_at ? time(schedule.last_run_at) : "not yet", last && [" · ", h("a", { href: `/tasks/${last.task_id}` }, shortId(last.task_id))]),
      last && [h("dt", {}, "Outcome"), h("dd", {}, outcome(last))],
    ),
  );
}

/** `Every hour, next at 15:00`; the day is named if it is not today. */
function inWords({ cron, time_zone: zone, enabled, next_due: next }) {
  const words = cronWords(cron);
  const [date, clock, name] = next ? exactTime(next).split(" ") : [];
  const today = exactTime(Date.now()).slice(0, 10);
  return [
    words ?? h("code", {}, cron),
    zone !== "UTC" && ` (${zone})`,
    enabled && next && `, next ${date === today ? "" : `on ${date} `}at ${clock.slice(0, 5)} ${name}`,
    !enabled && ", switched off",
  ];
}

async function runNow(name, button, load) {
  button.disabled = true;
  try {
    await send("POST", `/v1/schedules/${encodeURIComponent(name)}/run`, { key: newKey() });
    toast("The report was created and will be sent.", { kind: "good" });
    await load();
  } catch (problem) {
    toastProblem(problem);
  }
  button.disabled = false;
}

async function remove(name, load) {
  const isSure = await ask({ title: `Remove ${name}?`, text: ["The report is not mailed by this schedule any more. Mails that wait are still sent."], confirm: "Remove", kind: "danger" });
  if (!isSure) return;
  try {
    await send("DELETE", `/v1/schedules/${encodeURIComponent(name)}`);
    await load();
  } catch (problem) {
    toastProblem(problem);
  }
}
