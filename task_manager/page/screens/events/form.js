// The form that makes or changes a schedule.

import { h, replace } from "../../dom.js";
import { send } from "../../http.js";
import { problemBox } from "../../notices.js";
import { cronWords } from "./cron.js";

const EXAMPLES = [["0 * * * *", "hourly"], ["0 8 * * MON-FRI", "workdays at 8"], ["0 8 1 * *", "monthly"]];

/**
 * @param {object|null} schedule The one to change; `null` for a new one.
 * @param {() => void} close Called after it was stored or given up.
 */
export function scheduleForm(schedule, close) {
  const name = h("input", { required: true, pattern: "[a-z0-9_\\-]{1,64}", value: schedule?.name ?? "", readonly: Boolean(schedule), title: "1 to 64 lower-case letters, digits, _ and -" });
  const cron = h("input", { class: "mono", required: true, value: schedule?.cron ?? "0 8 * * *", oninput: say, spellcheck: "false" });
  const zone = h("input", { required: true, value: schedule?.time_zone ?? localZone(), list: "time-zones" });
  const recipients = h("textarea", { rows: 2, spellcheck: "false", value: (schedule?.recipients ?? []).join("\n"), placeholder: "One address a line; none: the default recipients of the worker" });
  const enabled = h("input", { type: "checkbox", checked: schedule?.enabled ?? true });
  const words = h("span", { class: "small soft", role: "status" });
  const notice = h("div");
  const save = h("button", { class: "primary", type: "submit" }, "Save");

  function say() {
    replace(words, cronWords(cron.value) ?? "Minute, hour, day of the month, month, day of the week");
  }

  async function submit(event) {
    event.preventDefault();
    save.disabled = true;
    const json = {
      cron: cron.value.trim(),
      time_zone: zone.value.trim(),
      enabled: enabled.checked,
      recipients: recipients.value.split(/[\n,;]+/).map((one) => one.trim()).filter(Boolean),
    };
    try {
      await send("PUT", `/v1/schedules/${encodeURIComponent(name.value)}`, { json });
      close();
    } catch (problem) {
      replace(notice, problemBox(problem));
    }
    save.disabled = false;
  }

  say();
  return h(
    "form",
    { class: "schedule stack", onsubmit: submit, onkeydown: (event) => event.key === "Escape" && close() },
    h("h3", {}, schedule ? `Change ${schedule.name}` : "New schedule"),
    !schedule && h("label", { class: "field" }, "Name", name),
    h(
      "div",
      { class: "two" },
      h("label", { class: "field" }, "When (cron)", cron, words),
      h("label", { class: "field" }, "Time zone", zone),
    ),
    h("div", { class: "row small soft" }, "For example", EXAMPLES.map(([text, label]) => h("button", { class: "small", type: "button", onclick: () => { cron.value = text; say(); } }, label))),
    h("label", { class: "field" }, "Recipients", recipients),
    h("label", { class: "check" }, enabled, "Switched on"),
    notice,
    h("div", { class: "row" }, save, h("button", { type: "button", onclick: close }, "Cancel")),
    h("datalist", { id: "time-zones" }, ["UTC", ...Intl.supportedValuesOf("timeZone")].map((value) => h("option", { value }))),
  );
}

function localZone() {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
