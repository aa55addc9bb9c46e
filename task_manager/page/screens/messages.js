// The screen of messages.

import { h } from "../dom.js";

export const title = "Messages";

export function mount(root) {
  root.append(h("h1", {}, title));
}
