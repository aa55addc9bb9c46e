// Charts as inline SVG. They fit the width of their box, have the colours of the scheme, and each
// of them can be read as a table. A function returns an element; `updateChart` shows new data in it.

export { barChart } from "./charts/bars.js";
export { columnChart } from "./charts/columns.js";
export { lineChart } from "./charts/lines.js";
export { updateChart } from "./charts/plot.js";
export { sparkline } from "./charts/sparkline.js";
