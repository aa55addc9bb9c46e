// Tasks that finished and failed, over the last hour or day.

import { columnChart, updateChart } from "../../charts.js";
import { h } from "../../dom.js";
import { duration } from "../../format.js";

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
        chart = columnChart({ columns, unit: "tasks", step, height: 260, label: `Finished and failed per ${width}` });
        element.replaceChildren(chart);
      }
      updateChart(chart, { columns });
    },
  };
}
