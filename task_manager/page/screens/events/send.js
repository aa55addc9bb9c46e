// Generates events or sends one, and shows how many of them are recorded.

import { h, replace } from "../../dom.js";
import { count, isEnded, number } from "../../format.js";
import { newKey, send } from "../../http.js";
import { problemBox } from "../../notices.js";
import { gathered } from "../../refresh.js";

/** Forms that send events; `changed` is to be called with each changed task of theirs. */
export function sendEvents() {
  const notice = h("div");
  const progress = h("div", { class: "stack", role: "status" });
  const element = h("section", { class: "card stack" }, h("h2", {}, "New events"));
  let waiting = new Set();
  let sent = 0;
  let failed = 0;
  // Changes may arrive before the answer that names the tasks.
  const ended = new Map();

  async function submit(path, json, form) {
    const button = form.querySelector("button");
    button.disabled = true;
    replace(notice);
    ended.clear();
    try {
      const { task_ids: ids } = await send("POST", path, { json, key: newKey() });
      sent = ids.length;
      failed = 0;
      waiting = new Set(ids);
      for (const [id, state] of ended) end(id, state);
      show();
    } catch (problem) {
      replace(notice, problemBox(problem));
    }
    button.disabled = false;
  }

  function end(id, state) {
    if (!waiting.delete(id)) return;
    if (state !== "processed") failed += 1;
  }

  function changed({ task_id: id, state }) {
    if (!isEnded(state)) return;
    if (!waiting.size) ended.set(id, state);
    end(id, state);
    if (sent) showSoon();
  }

  // Thousands of tasks may end in a second.
  const showSoon = gathered(show, 100);

  function show() {
    const done = sent - waiting.size;
    replace(
      progress,
      h("div", { class: `progress ${waiting.size ? "" : failed ? "bad" : "good"}`, "aria-hidden": "true" }, h("div", { style: { width: `${(done / sent) * 100}%` } })),
      h("p", { class: "small soft" }, waiting.size ? `${number(done)} of ${count(sent, "event")} recorded` : failed ? `${count(failed, "event")} of ${number(sent)} could not be recorded` : `${count(sent, "event")} recorded`),
    );
  }

  element.append(generateForm(submit), progress, oneForm(submit), notice);
  return { element, changed, stop: showSoon.cancel };
}

function generateForm(submit) {
  const amount = h("input", { type: "number", min: 1, max: 10_000, value: "500", required: true, class: "short" });
  const form = h(
    "form",
    { class: "row generate", onsubmit: (event) => { event.preventDefault(); submit(`/v1/user_events/generate/${Number(amount.value)}`, undefined, form); } },
    h("label", { class: "field" }, "Made-up events", amount),
    h("button", { class: "primary", type: "submit" }, "Generate"),
  );
  return form;
}

function oneForm(submit) {
  const field = (name, label, value) => h("label", { class: "field" }, label, h("input", { name, value, required: true, maxlength: 100 }));
  const now = new Date().toISOString().slice(0, 19).replace("T", " ");
  const form = h(
    "form",
    { class: "stack", onsubmit: (event) => { event.preventDefault(); submit("/v1/user_events", eventOf(new FormData(form)), form); } },
    h(
      "div",
      { class: "two" },
      field("id", "Id", `user-${Math.random().toString(36).slice(2, 8)}`),
      field("datetime", "Time (UTC)", now),
      field("city", "City", "Portland"),
      field("state", "State", "Oregon"),
      field("country", "Country", "United States"),
      field("postCode", "Post code", "97201"),
    ),
    h("div", {}, h("button", { type: "submit" }, "Send the event")),
    h("p", { class: "soft small" }, "An event with the same id is recorded once, however often it is sent."),
  );
  return h("details", {}, h("summary", {}, "Send one event"), form);
}

function eventOf(form) {
  const { id, datetime, ...address } = Object.fromEntries(form);
  return { id, datetime, address };
}
