// Icons of 16 by 16 pixels, drawn with lines in the colour of the text.

import { svg } from "./dom.js";

const PATHS = {
  initializing: "M8 13V4m0 0L4.5 7.500M8 4l3.5 3.5",
  queued: "M8 4.500V8l2.5 1.500M8 1.750a6.25 6.25 0 1 0 0 12.5 6.25 6.25 0 0 0 0-12.5",
  processing: "M13.5 8A5.5 5.5 0 1 1 10.5 3.1",
  processed: "M3 8.5 6.5 12 13 4.5",
  failed: "M8 4.500v4.250m0 2.500v.1M8 1.750a6.25 6.25 0 1 0 0 12.5 6.25 6.25 0 0 0 0-12.5",
  stopping: "M13 5.500V2.500m0 3h-3m2.8 0A5.75 5.75 0 1 0 13.6 9",
  stopped: "M4.25 4.250h7.500v7.500h-7.500z",
  killed: "m4 4 8 8m0-8-8 8",
  file: "M4 1.750h5l3.25 3.250v9.250H4zM9 2v3.250h3",
  upload: "M8 11V2.500m0 0L4.75 5.750M8 2.500l3.25 3.250M2.5 10.500v3h11v-3",
  download: "M8 2.500V11m0 0L4.75 7.750M8 11l3.25-3.250M2.5 10.500v3h11v-3",
  search: "M7 2.250a4.75 4.75 0 1 0 0 9.5 4.75 4.75 0 0 0 0-9.500m3.5 8.25 3.25 3.25",
  again: "M13 5.500A5.5 5.5 0 1 0 13.5 8M13.5 2.500v3.250h-3.25",
  play: "M5 3.25 12.5 8 5 12.750z",
  trash: "M2.75 4.250h10.500M6 4V2.250h4V4M4.25 4.250l.6 9.500h6.300l.6-9.5",
  copy: "M5.5 5.500h8v8h-8zM10.5 5.500v-3h-8v8h3",
  close: "m4 4 8 8m0-8-8 8",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  next: "m6 3.5 4.5 4.500L6 12.5",
  warning: "M8 6v3.250m0 2.250v.1M8 1.75 14.5 13.500h-13z",
  worker: "M2.5 3h11v7.500h-11zM5.5 13.500h5M8 10.500v3",
  person: "M8 2.250a2.75 2.75 0 1 0 0 5.5 2.75 2.75 0 0 0 0-5.500M2.75 14c.4-2.7 2.5-4 5.25-4s4.85 1.3 5.25 4",
};

/** An icon; it is hidden from screen readers, so its meaning must also be a text. */
export function icon(name) {
  return svg(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] }),
  );
}
