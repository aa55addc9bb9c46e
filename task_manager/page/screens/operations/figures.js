// The numbers to look at first: what waits, what runs, what was done in the period.

import { sparkline, updateChart } from "../../charts.js";
import { h, replace } from "../../dom.js";
import { count, duration, number } from "../../format.js";

/** A strip of figures; those of the period have a line. */
export function figures() {
  const waiting = part("Waiting");
  const running = part("Running");
  const finished = part("Finished", sparkline({ points: [], label: "Finished", unit: "tasks", tone: "good" }));
  const failed = part("Failed", sparkline({ points: [], label: "Failed", unit: "tasks", tone: "bad" }));
  const outbox = part("Outbox");
  const element = h("dl", { class: "figures card operations-figures" }, [waiting, running, finished, failed, outbox].map((one) => one.element));

  function show({ operations, workers, rates, counts, now }) {
    const queue = operations?.queue ?? [];
    const oldest = queue.map((kind) => kind.oldest_queued_at).filter(Boolean).sort()[0];
    const queued = operations ? sum(queue, "queued") : ofState(counts, "queued");
    waiting.show(queued, oldest ? `the oldest for ${duration((now - Date.parse(oldest)) / 1000)}` : queued === 0 ? "nothing waits" : "");
    const processing = operations ? sum(queue, "processing") : ofState(counts, "processing");
    const slots = workers.filter((worker) => worker.online).reduce((all, worker) => all + (worker.slots ?? 0), 0);
    running.show(processing, `in ${count(slots, "slot")} of ${count(workers.filter((worker) => worker.online).length, "worker")}`);
    const items = rates?.items ?? [];
    const reach = rates ? (rates.step_seconds * items.length > 7_200 ? "in the last day" : "in the last hour") : "";
    finished.show(rates && sum(items, "finished"), reach, items.map(({ at, finished: value }) => [at, value]));
    const [done, bad] = [sum(items, "finished"), sum(items, "failed")];
    failed.show(rates && bad, bad > 0 ? `${percent(bad / (done + bad))} of those that ended` : reach, items.map(({ at, failed: value }) => [at, value]));
    failed.element.classList.toggle("figure-bad", bad > 0);
    const late = operations?.outbox;
    outbox.show(late && late.rows, late ? outboxWords(late) : "");
  }

  return { element, show };
}

function part(name, line) {
  const value = h("dd", {}, "–");
  const note = h("dd", { class: "small soft figure-note" }, "\u00a0");
  const element = h("div", { class: "figure" }, h("dt", {}, name), value, note, line && h("dd", {}, line));
  return {
    element,
    show(next, text, points) {
      replace(value, number(next));
      replace(note, text || "\u00a0");
      if (line) updateChart(line, { points });
    },
  };
}

function sum(items, field) {
  return items.reduce((all, item) => all + item[field], 0);
}

function ofState(counts, state) {
  return counts && sum(counts.counts.filter((one) => one.state === state), "count");
}

function outboxWords({ rows, lag_seconds: lag }) {
  if (!rows) return "nothing to publish";
  return lag >= 1 ? `${duration(lag)} late` : "none is late";
}

function percent(share) {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}
