// The screen of account.

import { h } from "../dom.js";

export const title = "Account";

export function mount(root) {
  root.append(h("h1", {}, title));
}
