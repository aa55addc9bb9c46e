// The screen of files.

import { h } from "../dom.js";

export const title = "Files";

export function mount(root) {
  root.append(h("h1", {}, title));
}
