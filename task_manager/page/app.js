// The page: the bar, and the screen of the address.

import { h, replace } from "./dom.js";
import { onLoginRequired } from "./http.js";
import { icon } from "./icons.js";
import * as live from "./live.js";
import { banner, problemBox } from "./notices.js";
import * as router from "./router.js";
import * as session from "./session.js";

const LIVE_LABELS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting" };

const LINKS = [
  ["/", "Files"],
  ["/tasks", "Tasks"],
  ["/statistics", "Statistics"],
  ["/messages", "Messages"],
  ["/events", "Events"],
  ["/operations", "Operations", session.isAdministrator],
];

router.route("/", () => import("./screens/files.js"));
router.route("/tasks", () => import("./screens/tasks.js"));
router.route("/tasks/:id", () => import("./screens/task.js"));
router.route("/statistics", () => import("./screens/statistics.js"));
router.route("/messages", () => import("./screens/messages.js"));
router.route("/events", () => import("./screens/events.js"));
router.route("/operations", () => import("./screens/operations.js"));
router.route("/account", () => import("./screens/account.js"));
router.route("/login", () => import("./screens/login.js"));

const bar = document.getElementById("bar");

function showBar(path) {
  const user = session.user();
  const isCurrent = (link) => (link === "/" ? path === "/" : path.startsWith(link));
  const status = h("span", { class: "live", role: "status" });
  replace(
    bar,
    h("a", { class: "brand", href: "/" }, h("img", { src: "/page/icon.svg", alt: "" }), "Task platform"),
    h(
      "nav",
      { "aria-label": "Screens" },
      user && LINKS
        .filter(([, , isShown]) => !isShown || isShown())
        .map(([link, name]) => h("a", { href: link, "aria-current": isCurrent(link) ? "page" : null }, name)),
    ),
    user && status,
    user && h("a", { class: "account", href: "/account" }, icon("person"), user.username),
  );
  stopStatus();
  stopStatus = live.onStatus((state) => {
    status.className = `live live-${state}`;
    status.textContent = LIVE_LABELS[state];
  });
}

let stopStatus = () => {};

/** Goes to the login, and back to this address after it. */
function toLogin() {
  if (location.pathname === "/login") return;
  const back = location.pathname + location.search;
  router.navigate(`/login?back=${encodeURIComponent(back)}`, { replace: true });
}

async function start() {
  const main = document.getElementById("main");
  try {
    await session.identify();
  } catch (problem) {
    replace(main, problemBox(problem, () => location.reload()));
    return;
  }
  onLoginRequired(toLogin);
  if (session.user()) live.start();
  router.start(main, showBar);
  if (!session.user()) toLogin();
  addEventListener("offline", () => banner("offline", "This device is offline. Uploads continue when it is back."));
  addEventListener("online", () => banner("offline", null));
}

start();
