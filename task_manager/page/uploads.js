// Uploads that continue after any interruption. The server keeps every byte of a request that broke, so the
// whole rest of a file is sent in one request, and after an error the server is asked how far it is. Not here:
// the protocol (tus.js), which files are uploaded, and what is remembered about them over a reload.

import { newKey, Problem } from "./http.js";
import { createUpload, endUpload, findOffset, mayContinue, sendRest } from "./tus.js";

const LONGEST_WAIT = 10_000;
/** Milliseconds over which the rate is measured. */
const WINDOW = 4_000;
/** Milliseconds between two changes that are reported while bytes are sent. */
const REPORT = 100;

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
  #sending = null;
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
    if (this.state === "uploading") this.#sending?.abort();
  }

  /** Ends the upload: the server removes what has arrived. */
  async end() {
    this.#controller?.abort();
    this.#set("ended");
    if (this.url) await endUpload(this.url);
  }

  async #untilDone(signal) {
    let hasSent = false;
    let errors = 0;
    while (!signal.aborted) {
      try {
        if (!this.url) await this.#create(signal);
        else this.#arrived(await findOffset(this.url, signal));
        if (this.sent >= this.size) return;
        const before = this.sent;
        hasSent = true;
        await this.#send(signal).finally(() => {
          if (this.sent > before) errors = 0;
        });
        return;
      } catch (error) {
        if (await isUnreadable(this.file, this.sent)) throw unreadable(this.name);
        if (signal.aborted) return;
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
    const { name, size, kind, parameters, key } = this;
    Object.assign(this, await createUpload({ name, size, kind, parameters, key, signal }));
    this.#arrived(0);
  }

  async #send(signal) {
    this.#rate.clear();
    this.#set("uploading");
    const { url, file, sent: offset } = this;
    this.#sending = sendRest({ url, file, offset, signal }, (sent) => this.#arrived(sent));
    this.#arrived(await this.#sending.done);
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

function unreadable(name) {
  const detail = `${name} can no longer be read: it was changed, moved or removed while it was uploaded. Drop it again.`;
  return new Problem({ status: 0, code: "unreadable_file", title: "The file has changed", detail });
}
