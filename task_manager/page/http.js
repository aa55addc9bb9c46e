// Requests to the API. Errors are problem documents (RFC 9457), which become exceptions.

/** An error that the server answered, or that no answer came. */
export class Problem extends Error {
  /** @param {{status: number, code: string, title: string, detail: string, errors?: object[]}} document */
  constructor(document, headers = new Headers()) {
    super(document.detail || document.title);
    this.document = document;
    this.status = document.status;
    this.code = document.code;
    this.title = document.title;
    this.errors = document.errors ?? [];
    this.retryAfter = Number(headers.get("Retry-After")) || null;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 503 || this.status === 429;
  }
}

/** Called when the server requires a login. */
let loginRequired = () => {};

/** Sets what happens when a request is answered with 401. */
export function onLoginRequired(callback) {
  loginRequired = callback;
}

/** The path with a query; `undefined`, `null` and `""` are left out, and arrays repeat. */
export function withQuery(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const item of [value].flat()) {
      if (item !== undefined && item !== null && item !== "") parameters.append(name, item);
    }
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

/** Reads JSON; `null` for an empty answer (204). */
export function get(path, query, options = {}) {
  return send("GET", withQuery(path, query), options);
}

/**
 * Sends a request and returns the JSON of the answer, or `null`.
 *
 * @param {{json?: unknown, body?: BodyInit, headers?: object, signal?: AbortSignal, key?: string}} options
 *   `key` is the `Idempotency-Key`: the same one must be sent again when the request is repeated.
 */
export async function send(method, path, { json, body, headers = {}, signal, key } = {}) {
  const all = new Headers({ Accept: "application/json", ...headers });
  if (json !== undefined) all.set("Content-Type", "application/json");
  if (key) all.set("Idempotency-Key", key);
  const response = await request(path, {
    method,
    headers: all,
    body: json === undefined ? body : JSON.stringify(json),
    signal,
  });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** Sends a request and returns the response, if it succeeded. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      status: 0,
      code: "unreachable",
      title: "The server does not answer",
      detail: "The server does not answer. Check that it runs and that the network works.",
    });
  }
  if (response.ok) return response;
  const problem = new Problem(await documentOf(response), response.headers);
  if (response.status === 401) loginRequired(problem);
  throw problem;
}

async function documentOf(response) {
  try {
    const document = await response.json();
    if (document && document.code) return document;
  } catch {
    // Something between the browser and the server answered.
  }
  return {
    status: response.status,
    code: "unknown",
    title: `The server answered ${response.status}`,
    detail: `The server answered ${response.status} ${response.statusText}.`,
  };
}

/** A new `Idempotency-Key`. `crypto.randomUUID` exists on secure pages only. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
