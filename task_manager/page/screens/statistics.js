// Statistics of the user's files: totals, by day, by type, the largest ones, and all of them.

import { barChart, columnChart, updateChart } from "../charts.js";
import { h, replace } from "../dom.js";
import { bytes, count, number, time } from "../format.js";
import { get, request, withQuery } from "../http.js";
import { icon } from "../icons.js";
import { problemBox, toastProblem } from "../notices.js";
import { latest } from "../refresh.js";
import { navigate } from "../router.js";
import { figure, newPill, pages, periodChoice, periodQuery, saveText, tableBox } from "../sections.js";

export const title = "Statistics";

const REPORT = "/v1/reports/file_statistics";
const DAY_SECONDS = 86_400;

export function mount(root) {
  const content = h("div", { class: "screen" });
  const view = viewOf();
  const fresh = newPill("file_statistics", () => load());

  const run = latest((problem) => replace(content, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const [report, list] = await Promise.all([
      get(REPORT, periodQuery(), { signal }),
      get("/v1/file_statistics", periodQuery(), { signal }),
    ]);
    fresh.reset();
    if (list === null) return replace(content, nothingYet());
    if (content.firstChild !== view.elements[0]) replace(content, view.elements);
    view.show(report, list);
  });

  root.append(
    h("div", { class: "screen-head" }, h("h1", {}, title), fresh.element, periodChoice(load), h("button", { onclick: exportCsv }, icon("download"), "CSV")),
    content,
  );
  load();
  return () => {
    run.abort();
    fresh.stop();
  };
}

async function exportCsv() {
  try {
    const answer = await request(withQuery(REPORT, periodQuery()), { headers: { Accept: "text/csv" } });
    saveText(await answer.text(), "file-statistics.csv", "text/csv");
  } catch (problem) {
    toastProblem(problem);
  }
}

function viewOf() {
  const totals = h("dl", { class: "figures card" });
  const byDay = columnChart({ columns: [], unit: "files", label: "Files a day", step: DAY_SECONDS, names: { value: "Files" } });
  const byType = barChart({ bars: [], unit: "files", label: "Files by content type", heading: "Content type" });
  const largest = barChart({ bars: [], unit: "bytes", label: "Largest files", heading: "File" });
  const body = h("tbody");
  const list = pages(body, row, (token) => get("/v1/file_statistics", { ...periodQuery(), page_token: token }));
  const numeric = (text) => ({ text, numeric: true });
  const table = tableBox("Files", ["File", "Content type", numeric("Size"), numeric("Lines"), numeric("Words"), numeric("Characters"), "Encoding", "SHA-256", "Counted"], body);
  const empty = h("div", { class: "card empty" }, h("h2", {}, "No file was counted in this period"), h("button", { onclick: () => navigate("/statistics") }, "Show all time"));
  const charts = h("div", { class: "cards" }, [byDay, byType, largest].map((chart) => h("div", { class: "card" }, chart)));
  return {
    elements: [totals, charts, table, list.element, empty],
    show(report, items) {
      const isEmpty = items.items.length === 0;
      empty.hidden = !isEmpty;
      for (const element of [totals, charts, table]) element.hidden = isEmpty;
      replace(totals, totalsOf(report.totals));
      updateChart(byDay, { columns: report.by_day.map(({ date, files }) => ({ time: date, value: files })) });
      updateChart(byType, { bars: [...report.by_content_type].sort((a, b) => b.files - a.files).slice(0, 10).map(({ content_type, files }) => ({ name: content_type, value: files })) });
      updateChart(largest, { bars: report.largest_files.map(({ task_id, file_name, size }) => ({ name: file_name, value: size, href: `/tasks/${task_id}` })) });
      list.show(items);
    },
  };
}

function totalsOf({ files, size, lines, words, characters }) {
  return [
    figure("Files", number(files)),
    figure("Size", bytes(size), files > 0 && `${bytes(size / files)} on average`),
    figure("Lines", number(lines)),
    figure("Words", number(words)),
    figure("Characters", number(characters)),
  ];
}

function row(item) {
  const counted = (value) => h("td", { class: "numeric" }, number(value));
  return h(
    "tr",
    {},
    h("td", { class: "cell-name" }, h("a", { class: "name", href: `/tasks/${item.task_id}`, title: item.file_name }, item.file_name)),
    h("td", { class: "nowrap" }, item.content_type),
    h("td", { class: "numeric nowrap", title: count(item.size, "byte") }, bytes(item.size)),
    counted(item.lines),
    counted(item.words),
    counted(item.characters),
    h("td", { class: "nowrap" }, item.encoding),
    h("td", {}, h("span", { class: "mono soft", title: item.sha256 }, `${item.sha256.slice(0, 8)}…`)),
    h("td", { class: "nowrap" }, time(item.created_at)),
  );
}

function nothingYet() {
  return h(
    "div",
    { class: "card empty stack" },
    h("h2", {}, "No file has been counted yet"),
    h("p", {}, "Drop any file on ", h("a", { href: "/" }, "Files"), " and choose “File statistics”: its lines, words, characters, content type and hash appear here."),
    h("p", {}, h("code", {}, `curl -F file=@notes.md ${location.origin}/v1/file_statistics`)),
  );
}
