// Database, broker and storage: whether they work, and how much space is left.

import { h, replace } from "../../dom.js";
import { bytes } from "../../format.js";
import { badge } from "../../states.js";

const NAMES = { database: "Database", broker: "Broker", storage: "Storage" };
const KINDS = { sqlite: "SQLite", mysql: "MySQL or MariaDB", in_process: "In the process of the server", rabbitmq: "RabbitMQ", local: "Disk", s3: "S3 bucket", az: "Azure container", gs: "Google bucket" };
const MEANING = {
  database: "Requests fail until it is back.",
  broker: "Tasks are accepted and wait until it is back.",
  storage: "Files can be neither uploaded nor read until it is back.",
};

/** The texts of the banners; `null` for what works. */
export function warnings(operations) {
  const texts = {};
  for (const [part, name] of Object.entries(NAMES)) {
    const state = operations?.[part];
    texts[part] = state && !state.ok ? `The ${name.toLowerCase()} is away. ${MEANING[part]}${state.detail ? ` (${state.detail})` : ""}` : null;
  }
  const storage = operations?.storage;
  texts.disk = storage?.nearly_full ? `The storage is nearly full: ${bytes(storage.free_bytes)} of ${bytes(storage.total_bytes)} are free. Delete ended tasks, or give it more space.` : null;
  return texts;
}

/** A card for each part. */
export function parts() {
  const element = h("div", { class: "cards" });
  return {
    element,
    show({ operations }) {
      element.hidden = !operations;
      if (operations) replace(element, Object.entries(NAMES).map(([part, name]) => card(name, operations[part])));
    },
  };
}

function card(name, part) {
  const [state, text] = !part.ok ? ["failed", "Away"] : part.nearly_full ? ["stopped", "Nearly full"] : ["processed", "Works"];
  return h(
    "section",
    { class: "card stack part-card", "aria-label": name },
    h("div", { class: "spread" }, h("h2", {}, name), badge(state, text, state === "stopped" ? "warning" : state)),
    h("p", { class: "soft" }, KINDS[part.kind] ?? part.kind, part.location && [" · ", h("span", { class: "wrap" }, part.location)]),
    part.detail && h("p", { class: part.ok ? "soft wrap" : "wrap" }, part.detail),
    part.total_bytes > 0 && space(part),
  );
}

function space({ free_bytes: free, total_bytes: total, nearly_full: isFull }) {
  const used = 1 - free / total;
  return [
    h("div", { class: `progress ${isFull ? "bad" : ""}`, role: "meter", "aria-label": "Used space", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(used * 100) }, h("div", { style: { width: `${used * 100}%` } })),
    h("p", { class: "small soft" }, `${bytes(free)} of ${bytes(total)} are free`),
  ];
}
