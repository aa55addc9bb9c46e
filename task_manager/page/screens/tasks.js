// The screen of tasks.

import { h } from "../dom.js";

export const title = "Tasks";

export function mount(root) {
  root.append(h("h1", {}, title));
}
