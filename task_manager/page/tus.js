// The protocol tus 1.0: creates uploads, asks how far they are, and sends the rest of a file.

import { Problem, request } from "./http.js";

/** Milliseconds without a sent byte after which a connection counts as broken. */
const STALLED = 30_000;
/** Milliseconds that the answer may take once everything was sent: the server makes the file durable. */
const ANSWER = 180_000;

const VERSION = { "Tus-Resumable": "1.0.0" };

/** Creates an upload; `key` makes the request repeatable. */
export async function createUpload({ name, size, kind, parameters, key, signal }) {
  const response = await request("/v1/uploads", {
    method: "POST",
    headers: {
      ...VERSION,
      "Upload-Length": String(size),
      "Upload-Metadata": metadata({ filename: name, kind, ...parameters }),
      "Idempotency-Key": key,
    },
    signal,
  });
  const url = new URL(response.headers.get("Location"), location.href).pathname;
  return { url, taskId: response.headers.get("Task-Id") };
}

/** How many bytes the server has. A request that still writes is ended by the question. */
export async function findOffset(url, signal) {
  try {
    const response = await request(url, { method: "HEAD", headers: VERSION, signal });
    return Number(response.headers.get("Upload-Offset"));
  } catch (problem) {
    // An answer to HEAD has no words; the same question by GET has.
    if (problem.code === "unknown") await request(url, { headers: VERSION, signal });
    throw problem;
  }
}

/** Ends an upload: the server removes what has arrived. */
export function endUpload(url) {
  return request(url, { method: "DELETE", headers: VERSION });
}

/**
 * Sends the bytes of a file from an offset on; resolves to how many the server has then. `fetch` reports no
 * progress, so it is an `XMLHttpRequest`.
 *
 * @param {{url: string, file: File, offset: number, signal: AbortSignal}} request
 * @param {(sent: number) => void} onProgress
 * @returns {{done: Promise<number>, abort: () => void}}
 */
export function sendRest({ url, file, offset, signal }, onProgress) {
  const xhr = new XMLHttpRequest();
  const abort = () => xhr.abort();
  let stalled;
  const watch = (milliseconds) => {
    clearTimeout(stalled);
    stalled = setTimeout(abort, milliseconds);
  };
  const done = new Promise((resolve, reject) => {
    signal.addEventListener("abort", abort);
    xhr.open("PATCH", url);
    xhr.setRequestHeader("Tus-Resumable", "1.0.0");
    xhr.setRequestHeader("Upload-Offset", String(offset));
    xhr.setRequestHeader("Content-Type", "application/offset+octet-stream");
    xhr.upload.onprogress = ({ loaded }) => {
      onProgress(offset + loaded);
      watch(offset + loaded < file.size ? STALLED : ANSWER);
    };
    xhr.onload = () => {
      if (xhr.status === 204) resolve(Number(xhr.getResponseHeader("Upload-Offset")));
      else reject(problemOf(xhr));
    };
    xhr.onerror = xhr.onabort = () => reject(interrupted());
    xhr.onloadend = () => {
      clearTimeout(stalled);
      signal.removeEventListener("abort", abort);
    };
    watch(STALLED);
    xhr.send(file.slice(offset));
  });
  return { done, abort };
}

/** Whether asking for the offset and going on can help: after lost connections, restarts and races. */
export function mayContinue(error) {
  if (!(error instanceof Problem)) return false;
  const { status, code } = error;
  const isInterrupted = status === 409 && code !== "invalid_state" && code !== "idempotency_key_reused";
  return status === 0 || status >= 500 || [408, 423, 429].includes(status) || isInterrupted || code === "upload_cut";
}

/** `Upload-Metadata`: keys and Base64 values; a list has a line for each item. */
function metadata(values) {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${base64([value].flat().join("\n"))}`)
    .join(",");
}

function base64(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

function problemOf(xhr) {
  try {
    const document = JSON.parse(xhr.responseText);
    if (document.code) return new Problem(document, new Headers({ "Retry-After": xhr.getResponseHeader("Retry-After") ?? "" }));
  } catch {
    // Something between the browser and the server answered.
  }
  const title = `The server answered ${xhr.status}`;
  return new Problem({ status: xhr.status, code: "unknown", title, detail: `${title}.` });
}

function interrupted() {
  return new Problem({ status: 0, code: "unreachable", title: "The connection was lost", detail: "The connection was lost." });
}
