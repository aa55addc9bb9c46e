// Who uses the page.

import { get, send } from "./http.js";

let me = null;

/** The user: `{user_id, username, role, login_required}`; `null` before a login. */
export function user() {
  return me;
}

/** Whether the user may make requests that concern the whole platform. */
export function isAdministrator() {
  return me?.role === "admin";
}

/** Whether the user may only look. */
export function isViewer() {
  return me?.role === "viewer";
}

/** Asks the server who the user is. */
export async function identify() {
  try {
    me = await get("/v1/users/me");
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    me = null;
  }
  return me;
}

/** Logs in; the token stays in a cookie that scripts cannot read. */
export async function logIn(username, password) {
  await send("POST", "/v1/sessions", { json: { username, password, cookie: true } });
  return identify();
}

/** Signs up and logs in. */
export async function signUp(username, password) {
  await send("POST", "/v1/users", { json: { username, password } });
  return logIn(username, password);
}

/** Logs out. */
export async function logOut() {
  await send("DELETE", "/v1/sessions/current");
  me = null;
}
