// Command lines that do the same as the page.

import { h, replace } from "../../dom.js";
import { shellQuote } from "../../format.js";
import { icon } from "../../icons.js";
import { copyText } from "../../sections.js";
import { user } from "../../session.js";
import { FILE_KINDS } from "./kinds.js";

const DEFAULT_SERVER = "http://127.0.0.1:5000";

/** Uploads a file by curl. */
export function curlLine({ name, kind, parameters }) {
  const words = ["curl"];
  if (user()?.login_required) words.push('-H "Authorization: Bearer $TOKEN"');
  for (const [parameter, value] of pairs(parameters)) {
    // curl reads `@` and `<` at the start of a value of -F as files, quotes as its own, and options after `;`.
    const option = /^[@<"]|;/.test(value) ? "--form-string" : "-F";
    words.push(`${option} ${shellQuote(`${parameter}=${value}`)}`);
  }
  const isPlain = !/[;,"\\]/.test(name);
  words.push(`-F ${shellQuote(`file=@${isPlain ? name : `"${name.replace(/["\\]/g, "\\$&")}"`}`)}`);
  words.push(shellQuote(location.origin + FILE_KINDS[kind].path));
  return words.join(" ");
}

/** Uploads a file by taskctl, and saves the result where there is one. */
export function taskctlLine({ name, kind, parameters }) {
  const words = ["taskctl upload"];
  if (kind !== "csv_aggregation") words.push(`--kind ${kind}`);
  for (const [parameter, value] of pairs(parameters)) {
    const separator = String(value).startsWith("-") ? "=" : " ";
    words.push(`--${parameter.replaceAll("_", "-")}${separator}${shellQuote(String(value))}`);
  }
  if (location.origin !== DEFAULT_SERVER) words.push(`--server ${location.origin}`);
  words.push(kind === "csv_aggregation" ? "--output result.csv" : "--wait");
  words.push(name.startsWith("-") ? `-- ${shellQuote(name)}` : shellQuote(name));
  return words.join(" ");
}

function pairs(parameters) {
  return Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((item) => [name, item]));
}

/** A command line with a button that copies it; `set` changes the line. */
export function commandBox(label) {
  const code = h("code", {});
  const copy = h("button", { class: "icon-button", type: "button", "aria-label": `Copy the ${label} line`, title: "Copy" }, icon("copy"));
  copy.addEventListener("click", () => copyText(code));
  const element = h(
    "div",
    { class: "command" },
    h("span", { class: "command-label" }, label),
    h("pre", { tabindex: "0", "aria-label": `The same by ${label}` }, code),
    copy,
  );
  return { element, set: (line) => replace(code, line) };
}
