// The screen of task.

import { h } from "../dom.js";

export const title = "Task";

export function mount(root) {
  root.append(h("h1", {}, title));
}
