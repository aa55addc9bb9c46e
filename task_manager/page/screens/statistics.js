// The screen of statistics.

import { h } from "../dom.js";

export const title = "Statistics";

export function mount(root) {
  root.append(h("h1", {}, title));
}
