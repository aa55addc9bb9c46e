// Uploads a CSV file, follows its task by server-sent events, and saves the sums.
//
// Usage: node aggregate.mjs FILE RESULT      (Node.js 18 or newer)
//
// The variable SERVER names another server than the one on this machine; one with a login needs a token
// (POST /v1/sessions) in the variable TOKEN. Only `fetch` is used, so that the
// same works in a browser, with a File as the body.

import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { basename } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const [file, result] = process.argv.slice(2);
const server = process.env.SERVER ?? "http://127.0.0.1:5000";
const login = process.env.TOKEN ? { Authorization: `Bearer ${process.env.TOKEN}` } : {};

async function call(path, { headers = {}, ...options } = {}) {
  const response = await fetch(server + path, { ...options, headers: { ...login, ...headers } });
  if (!response.ok) throw new Error((await response.json()).detail);
  return response;
}

// The key makes it safe to repeat the request when the connection breaks.
const upload = await call(`/v1/data_processor/upload?file_name=${encodeURIComponent(basename(file))}`, {
  method: "POST",
  body: Readable.toWeb(createReadStream(file)),
  duplex: "half",
  headers: { "Content-Type": "text/csv", "Idempotency-Key": randomUUID() },
});
let task = await upload.json();

// The stream shows the task as it is at every change, and ends with it.
let text = "";
for await (const part of (await call(task.links.events)).body.pipeThrough(new TextDecoderStream())) {
  const lines = (text + part).split("\n");
  text = lines.pop();
  for (const line of lines.filter((line) => line.startsWith("data:"))) {
    task = JSON.parse(line.slice("data:".length));
    console.log(task.state, task.progress ?? "");
  }
}

if (task.state !== "processed") throw new Error(task.error?.detail ?? task.state);
await pipeline(Readable.fromWeb((await call(task.links.download)).body), createWriteStream(result));
