// Events: users by city, new events, and for administrators the schedules that mail the report.

import { h, replace } from "../dom.js";
import { onTask } from "../live.js";
import { gathered } from "../refresh.js";
import { query, setQuery } from "../router.js";
import { periodChoice } from "../sections.js";
import { isAdministrator, isViewer } from "../session.js";
import { sendEvents } from "./events/send.js";
import { cities } from "./events/cities.js";
import { schedules } from "./events/schedules.js";

export const title = "Events";

/** After how many milliseconds of changes the report is read again. */
const PAUSE = 1_000;

export function mount(root) {
  const report = cities();
  const sending = isViewer() ? null : sendEvents();
  const plans = isAdministrator() ? schedules() : null;

  const reload = gathered(report.load, PAUSE);
  const stop = onTask((task) => {
    if (task.kind === "user_event" && task.state === "processed") reload();
    if (task.kind === "report_email") plans?.changed(task);
    if (task.kind === "user_event") sending?.changed(task);
  });

  replace(
    root,
    h("div", { class: "screen-head" }, h("h1", {}, title), filters(report.load), periodChoice(report.load)),
    h("div", { class: "events-grid" }, report.element, sending?.element),
    plans && plans.element,
  );
  report.load();
  plans?.load();
  return () => {
    stop();
    reload.cancel();
    report.stop();
    sending?.stop();
    plans?.stop();
  };
}

function filters(onChange) {
  const change = (name) => (event) => {
    setQuery({ [name]: event.target.value.trim() });
    onChange();
  };
  const place = (name, label) => h("input", { class: "place", type: "search", value: query().get(name) ?? "", "aria-label": label, placeholder: label, title: `${label}, spelled as in the events`, onchange: change(name) });
  const whose = h("select", { "aria-label": "Whose events", onchange: change("whose") }, h("option", { value: "" }, "My events"), h("option", { value: "all" }, "Events of all users"));
  whose.value = query().get("whose") ?? "";
  return h("div", { class: "row" }, isAdministrator() && whose, place("country", "Country"), place("state", "State"));
}
