// A message as a row, with the words of a search marked.

import { h } from "../../dom.js";
import { number, time } from "../../format.js";
import { badge } from "../../states.js";

const TONES = {
  Direct: ["processed", "processed"],
  Retried: ["again", "stopped"],
  Failed: ["failed", "failed"],
};

/** A category with its icon. */
export function categoryTag(category) {
  const [symbol, state] = TONES[category] ?? ["more", "queued"];
  return badge(state, category, symbol);
}

/** A row of the table of messages. */
export function messageRow(message) {
  return h(
    "tr",
    {},
    h("td", { class: "nowrap" }, categoryTag(message.category)),
    h("td", { class: "message-text wrap" }, text(message)),
    h("td", { class: "numeric" }, number(message.request_count)),
    h("td", { class: "nowrap" }, h("a", { class: "plain", href: `/tasks/${message.id}`, title: "Show its task" }, time(message.created_at))),
  );
}

/** Long messages show their beginning until they are opened. */
function text({ message, snippet }) {
  const isLong = message.length > 280;
  const short = snippet ? marked(snippet) : isLong ? `${cut(message, 280)}…` : message;
  if (!isLong) return snippet ? short : message;
  return h("details", {}, h("summary", {}, short), h("div", { class: "message-whole" }, message));
}

/** Without half of a surrogate pair at the end. */
function cut(message, length) {
  return Array.from(message.slice(0, length + 1)).slice(0, -1).join("");
}

/** The words of a snippet stand between `**`. */
function marked(snippet) {
  return snippet.split("**").map((part, at) => (at % 2 ? h("mark", {}, part) : part));
}
