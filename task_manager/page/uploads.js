// Uploads that continue after any interruption: a client of tus 1.0. The server keeps every byte of a request
// that broke, so the whole rest of a file is sent in one request, and after an error the server is asked how
// far it is. Not here: which files are uploaded, and what is remembered about them over a reload.

import { newKey, Problem, request } from "./http.js";

/** Milliseconds without a sent byte after which a connection counts as broken. */
const STALLED = 30_000;
/** Milliseconds that the answer may take once everything was sent: the server makes the file durable. */
const ANSWER = 180_000;
const LONGEST_WAIT = 10_000;
/** Milliseconds over which the rate is measured. */
const WINDOW = 4_000;
/** Milliseconds between two changes that are reported while bytes are sent. */
const REPORT = 100;

const VERSION = { "Tus-Resumable": "1.0.0" };

/**
 * The upload of a file. Its states: `waiting` to be started, `starting`, `uploading`, `reconnecting` (it
 * tries again by itself), `paused`, `done`, `failed` (with `problem`) and `ended`.
 */
export class Upload {
  state = "waiting";
  /** How many bytes were sent. */
  sent = 0;
  /** @type {Problem|null} why it failed, or why it reconnects */
  problem = null;
  #controller = null;
  #xhr = null;
  #rate = new Rate();
  #onChange;
  #reported = 0;

  /**
   * @param {{file: File, name: string, kind: string, parameters: object, key: string, url?: string,
   *   taskId?: string}} source `url` and `taskId` continue an upload; `key` makes the creation repeatable
   * @param {(upload: Upload) => void} onChange
   */
  constructor({ file, name, kind, parameters, key, url, taskId }, onChange) {
    Object.assign(this, { file, name, kind, parameters, key, url: url ?? null, taskId: taskId ?? null });
    this.#onChange = onChange;
  }

  get size() {
    return this.file.size;
  }

  get isActive() {
    return ["starting", "uploading", "reconnecting"].includes(this.state);
  }

  /** Bytes in a second; `null` before it is known. */
  get perSecond() {
    return this.state === "uploading" ? this.#rate.perSecond() : null;
  }

  /** Starts or continues; resolves when the upload rests, for whatever reason. */
  async start() {
    if (this.isActive || this.state === "done") return;
    const controller = (this.#controller = new AbortController());
    this.#set("starting");
    try {
      await this.#untilDone(controller.signal);
      if (!controller.signal.aborted) this.#set("done");
    } catch (problem) {
      if (!controller.signal.aborted) this.#set("failed", problem);
    }
  }

  /** Ends the connection; what has arrived stays at the server. */
  pause() {
    if (!this.isActive && this.state !== "waiting") return;
    this.#controller?.abort();
    this.#set("paused");
  }

  /** Asks the server again how far it is. Browsers see no answer before they have sent the whole body, so without
   * this they would go on sending to a server that refuses it, such as one that shuts down. */
  recheck() {
    if (this.state === "uploading") this.#xhr?.abort();
  }

  /** Ends the upload: the server removes what has arrived. */
  async end() {
    this.#controller?.abort();
    this.#set("ended");
    if (this.url) await request(this.url, { method: "DELETE", headers: VERSION });
  }

  async #untilDone(signal) {
    let knowsOffset = false;
    let hasSent = false;
    let errors = 0;
    while (!signal.aborted) {
      try {
        if (!this.url) await this.#create(signal);
        else if (!knowsOffset) this.#arrived(await this.#offset(signal));
        knowsOffset = true;
        if (this.sent >= this.size) return;
        this.#rate.clear();
        this.#set("uploading");
        const before = this.sent;
        hasSent = true;
        await this.#send(signal).finally(() => {
          knowsOffset = false;
          if (this.sent > before) errors = 0;
        });
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (await isUnreadable(this.file, this.sent)) throw unreadable(this.name);
        // An upload that expired starts again. One that ends while it is sent was ended elsewhere.
        if (error.status === 404 && this.url && !hasSent) this.#forget();
        else if (!mayContinue(error)) throw error;
        errors += 1;
        this.#set("reconnecting", error);
        await pauseBetween(errors, error.retryAfter, signal);
      }
    }
  }

  async #create(signal) {
    const response = await request("/v1/uploads", {
      method: "POST",
      headers: {
        ...VERSION,
        "Upload-Length": String(this.size),
        "Upload-Metadata": metadata({ filename: this.name, kind: this.kind, ...this.parameters }),
        "Idempotency-Key": this.key,
      },
      signal,
    });
    this.url = new URL(response.headers.get("Location"), location.href).pathname;
    this.taskId = response.headers.get("Task-Id");
    this.#arrived(0);
  }

  /** How many bytes the server has. A request that still writes is ended by the question. */
  async #offset(signal) {
    try {
      const response = await request(this.url, { method: "HEAD", headers: VERSION, signal });
      this.taskId = response.headers.get("Task-Id") ?? this.taskId;
      return Number(response.headers.get("Upload-Offset"));
    } catch (problem) {
      // An answer to HEAD has no words; the same question by GET has.
      if (problem.code === "unknown") await request(this.url, { headers: VERSION, signal });
      throw problem;
    }
  }

  /** Sends the rest of the file. `fetch` reports no progress, so it is an `XMLHttpRequest`. */
  #send(signal) {
    return new Promise((resolve, reject) => {
      const xhr = (this.#xhr = new XMLHttpRequest());
      const first = this.sent;
      let stalled;
      const watch = (milliseconds) => {
        clearTimeout(stalled);
        stalled = setTimeout(() => xhr.abort(), milliseconds);
      };
      const abort = () => xhr.abort();
      signal.addEventListener("abort", abort);
      xhr.open("PATCH", this.url);
      xhr.setRequestHeader("Tus-Resumable", "1.0.0");
      xhr.setRequestHeader("Upload-Offset", String(first));
      xhr.setRequestHeader("Content-Type", "application/offset+octet-stream");
      xhr.upload.onprogress = ({ loaded }) => {
        this.#arrived(first + loaded);
        watch(this.sent < this.size ? STALLED : ANSWER);
      };
      xhr.onload = () => {
        if (xhr.status !== 204) return reject(problemOf(xhr));
        this.taskId = xhr.getResponseHeader("Task-Id") ?? this.taskId;
        this.#arrived(Number(xhr.getResponseHeader("Upload-Offset")));
        resolve();
      };
      xhr.onerror = xhr.onabort = () => reject(interrupted());
      xhr.onloadend = () => {
        clearTimeout(stalled);
        signal.removeEventListener("abort", abort);
      };
      watch(STALLED);
      xhr.send(this.file.slice(first));
    });
  }

  #forget() {
    Object.assign(this, { url: null, taskId: null, key: newKey(), sent: 0 });
  }

  #arrived(sent) {
    this.sent = sent;
    this.#rate.add(sent);
    if (performance.now() - this.#reported > REPORT) this.#report();
  }

  #set(state, problem = null) {
    this.state = state;
    this.problem = problem;
    this.#report();
  }

  #report() {
    this.#reported = performance.now();
    this.#onChange(this);
  }
}

/** Measures bytes in a second over the last seconds. */
class Rate {
  #samples = [];

  clear() {
    this.#samples = [];
  }

  add(sent) {
    const now = performance.now();
    this.#samples.push([now, sent]);
    while (this.#samples[0][0] < now - WINDOW) this.#samples.shift();
  }

  perSecond() {
    if (this.#samples.length < 2) return null;
    const [[from, first], [to, last]] = [this.#samples[0], this.#samples.at(-1)];
    return to - from < 300 ? null : Math.max(0, ((last - first) / (to - from)) * 1000);
  }
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

/** Whether asking for the offset and going on can help: after lost connections, restarts and races. */
function mayContinue(error) {
  if (!(error instanceof Problem)) return false;
  const { status, code } = error;
  const isInterrupted = status === 409 && code !== "invalid_state" && code !== "idempotency_key_reused";
  return status === 0 || status >= 500 || [408, 423, 429].includes(status) || isInterrupted || code === "upload_cut";
}

async function isUnreadable(file, offset) {
  try {
    await file.slice(offset, offset + 1).arrayBuffer();
    return false;
  } catch {
    return true;
  }
}

/** Waits before the next attempt, longer each time; a network that comes back ends the wait. */
function pauseBetween(errors, retryAfter, signal) {
  const wait = retryAfter ? retryAfter * 1000 : Math.min(LONGEST_WAIT, 250 * 2 ** errors);
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, wait * (0.75 + Math.random() / 2));
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
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

function unreadable(name) {
  const detail = `${name} can no longer be read: it was changed, moved or removed while it was uploaded. Drop it again.`;
  return new Problem({ status: 0, code: "unreadable_file", title: "The file has changed", detail });
}
