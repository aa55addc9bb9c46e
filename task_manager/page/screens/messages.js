// Messages: the user's tracked messages by words and category, their number by day, and a new one.

import { columnChart, updateChart } from "../charts.js";
import { h, replace } from "../dom.js";
import { number } from "../format.js";
import { get } from "../http.js";
import { onStatus } from "../live.js";
import { problemBox } from "../notices.js";
import { gathered, latest } from "../refresh.js";
import { query, setQuery } from "../router.js";
import { newPill, pages, periodChoice, periodQuery, tableBox } from "../sections.js";
import { isViewer } from "../session.js";
import { tabList } from "../tabs.js";
import { messageRow } from "./messages/row.js";
import { sendForm } from "./messages/send.js";

export const title = "Messages";

const CATEGORIES = ["Direct", "Retried", "Failed"];
const TYPING = 250;
const DAY_SECONDS = 86_400;

export function mount(root) {
  const body = h("tbody");
  const list = pages(body, messageRow, (token) => get("/v1/messages", { ...listQuery(), page_token: token }));
  const chart = columnChart({ columns: [], unit: "messages", label: "Messages by day", step: DAY_SECONDS, height: 150, names: { good: "Direct or retried", bad: "Failed" } });
  const tabs = tabList("Category", (category) => {
    setQuery({ category });
    showTabs();
    load();
  });
  const table = tableBox("Messages", ["Category", "Message", { text: "No.", numeric: true }, "Sent"], body);
  const notice = h("div");
  const fresh = newPill("message_validation", () => load());
  let counts = [];

  const run = latest((problem) => replace(notice, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const [found, counted] = await Promise.all([
      get("/v1/messages", listQuery(), { signal }),
      get("/v1/messages/counts", { by: "category,date", ...periodQuery() }, { signal }),
    ]);
    fresh.reset();
    counts = counted.counts;
    list.show(found);
    const isEmpty = found.items.length === 0;
    table.hidden = isEmpty;
    replace(notice, isEmpty && nothing(counts.length === 0));
    showTabs();
    updateChart(chart, { columns: columnsOf(counts) });
  });

  function showTabs() {
    const of = (category) => counts.filter((one) => !category || one.category === category).reduce((sum, one) => sum + one.count, 0);
    // The counts are those of the period: with words to search for they would mislead.
    const countOf = (category) => (query().get("text") ? null : number(of(category)));
    tabs.show(["", ...CATEGORIES].map((category) => ({ key: category, text: category || "All", count: countOf(category) })), query().get("category") ?? "");
  }

  const search = gathered(() => {
    setQuery({ text: words.value.trim() });
    best.hidden = !words.value.trim();
    load();
  }, TYPING);
  const words = h("input", { type: "search", name: "text", value: query().get("text") ?? "", maxlength: 1000, "aria-label": "Search messages", placeholder: 'Search: red apple, "red apple", app*', oninput: search });
  const best = h("select", { "aria-label": "Order", hidden: !words.value, onchange: () => { setQuery({ order: best.value }); load(); } }, h("option", { value: "" }, "Newest first"), h("option", { value: "best" }, "Best match first"));
  best.value = query().get("order") ?? "";

  const sending = isViewer() ? null : sendForm(load);
  let wasLost = false;
  const stopStatus = onStatus((status) => {
    if (status === "live" && wasLost) load();
    wasLost = status === "reconnecting";
  });

  root.append(
    h("div", { class: "screen-head" }, h("h1", {}, title), fresh.element, periodChoice(load)),
    h("div", { class: "cards" }, sending && h("section", { class: "card" }, sending.element), h("section", { class: "card" }, chart)),
    h("div", { class: "stack" }, h("div", { class: "row message-search" }, words, best), tabs.element, table, notice, list.element),
  );
  showTabs();
  load();
  return () => {
    run.abort();
    fresh.stop();
    search.cancel();
    sending?.stop();
    stopStatus();
  };
}

function listQuery() {
  const text = query().get("text");
  return { text, category: query().get("category"), order: text ? query().get("order") : null, ...periodQuery() };
}

function columnsOf(counts) {
  const days = new Map();
  for (const { category, date, count } of counts) {
    const day = days.get(date) ?? { time: date, good: 0, bad: 0 };
    day[category === "Failed" ? "bad" : "good"] += count;
    days.set(date, day);
  }
  return [...days.values()].sort((left, right) => (left.time < right.time ? -1 : 1));
}

function nothing(hasNone) {
  const isFiltered = query().toString() !== "";
  return hasNone && !isFiltered
    ? h("div", { class: "card empty" }, h("h2", {}, "No messages yet"), h("p", {}, isViewer() ? "Your account may look but not send any." : "Send one above: it gets a number and a category, and is then found by its words."))
    : h("div", { class: "card empty" }, h("h2", {}, "No message matches"), h("p", {}, "Messages must contain all words. Put words in quotes to find them next to each other, or write app* for all words that begin so."));
}
