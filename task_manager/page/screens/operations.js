// The screen of operations.

import { h } from "../dom.js";

export const title = "Operations";

export function mount(root) {
  root.append(h("h1", {}, title));
}
