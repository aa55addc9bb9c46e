// The screen of events.

import { h } from "../dom.js";

export const title = "Events";

export function mount(root) {
  root.append(h("h1", {}, title));
}
