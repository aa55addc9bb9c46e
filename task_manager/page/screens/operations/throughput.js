// Tasks that finished and failed, over the last hour or day.

import { columnChart, updateChart } from "../../charts.js";
import { h } from "../../dom.js";
import { duration } from "../../format.js";

/** More steps are summed up: the minutes of a day are too many for columns. */
const MOST_STEPS = 120;
const LONG_STEP = 900;

/** The same throughput in few steps, which begin at whole quarters of hours. */
export function inSteps(rates) {
  if (rates.items.length <= MOST_STEPS) return rates;
  const sums = new Map();
  for (const { at, finished, failed } of rates.items) {
    const start = Math.floor(Date.parse(at) / 1000 / LONG_STEP) * LONG_STEP;
    const sum = sums.get(start) ?? { at: new Date(start * 1000).toISOString(), finished: 0, failed: 0 };
    sum.finished += finished;
    sum.failed += failed;
    sums.set(start, sum);
  }
  return { ...rates, step_seconds: LONG_STEP, items: [...sums.values()] };
}

/** The chart of the throughput. */
export function throughput() {
  let chart = null;
  let step = null;
  const element = h("section", { class: "card" });
  return {
    element,
    show({ rates }) {
      element.hidden = !rates;
      if (!rates) return;
      const columns = rates.items.map(({ at, finished, failed }) => ({ time: at, good: finished, bad: failed }));
      if (step !== rates.step_seconds) {
        step = rates.step_seconds;
        const width = step === 60 ? "minute" : step === 3600 ? "hour" : duration(step);
        chart = columnChart({ columns, unit: "tasks", step, height: 260, label: `Tasks that ended per ${width}` });
        element.replaceChildren(chart);
      }
      updateChart(chart, { columns });
    },
  };
}
