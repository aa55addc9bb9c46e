// A list of API keys, each of which can be revoked.

import { h, replace } from "../../dom.js";
import { time } from "../../format.js";
import { get, send } from "../../http.js";
import { ask, problemBox, toast, toastProblem } from "../../notices.js";
import { latest } from "../../refresh.js";
import { refill, tableBox } from "../../sections.js";

/**
 * @param {string} path where the API lists the keys, for example `/v1/users/me/keys`
 * @param {(hasKeys: boolean) => void} [onCount] is called when the list was read or has changed
 * @returns {{elements: Node[], add: (key: object) => void, leave: () => void}} `add` shows a new key
 */
export function keyTable(path, onCount = () => {}) {
  const body = h("tbody");
  const notice = h("div");
  const table = tableBox("API keys", ["Name", "Key", "Scopes", "Made", "Last used", "Expires", ""], body);
  table.hidden = true;

  const run = latest((problem) => replace(notice, problemBox(problem, load)));
  const load = () => run(async (signal) => {
    const { items } = await get(path, {}, { signal });
    replace(notice);
    replace(body, items.map(row));
    counted();
  });
  load();

  function counted() {
    const hasKeys = body.children.length > 0;
    table.hidden = !hasKeys;
    onCount(hasKeys);
  }

  function row(key) {
    const hasExpired = key.expires_at && Date.parse(key.expires_at) <= Date.now();
    const element = h(
      "tr",
      {},
      h("td", { class: "cell-name" }, h("span", { class: "name", title: key.name }, key.name)),
      h("td", { class: "nowrap mono" }, `${key.prefix}…`),
      h("td", { class: "nowrap" }, key.scopes.join(", ")),
      h("td", { class: "nowrap" }, time(key.created_at)),
      h("td", { class: "nowrap" }, key.last_used_at ? time(key.last_used_at) : "Never"),
      h("td", { class: "nowrap" }, hasExpired && "Expired ", key.expires_at ? time(key.expires_at) : "Never"),
      h("td", { class: "numeric" }, h("button", { class: "small danger", "aria-label": `Revoke ${key.name}`, onclick: () => revoke(key, element) }, "Revoke")),
    );
    return element;
  }

  async function revoke(key, element) {
    const text = ["Programs that send it are refused immediately. A revoked key cannot be restored."];
    if (!(await ask({ title: `Revoke the key ${key.name}?`, text, confirm: "Revoke", kind: "danger" }))) return;
    try {
      await send("DELETE", `${path}/${key.key_id}`);
      refill(body, [...body.children].filter((other) => other !== element));
      counted();
      toast(`The key ${key.name} is revoked.`, { kind: "good" });
    } catch (problem) {
      toastProblem(problem);
    }
  }

  return {
    elements: [notice, table],
    add(key) {
      body.prepend(row(key));
      counted();
    },
    leave: run.abort,
  };
}
