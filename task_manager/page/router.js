// Shows the screen of the address. The state of a screen is in the address too, so that a reload, the
// back button and a sent link show the same.

/** @type {{pattern: RegExp, names: string[], load: () => Promise<object>}[]} */
const routes = [];
let leave = () => {};
let current = null;
let generation = 0;

/** Adds a screen: `route("/tasks/:id", () => import("./screens/task.js"))`. */
export function route(path, load) {
  const names = [...path.matchAll(/:(\w+)/g)].map((match) => match[1]);
  const pattern = new RegExp(`^${path.replace(/:\w+/g, "([^/]+)")}/?$`);
  routes.push({ pattern, names, load });
}

/** Goes to another address of this page. */
export function navigate(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  show();
}

/** The parameters of the address. */
export function query() {
  return new URLSearchParams(location.search);
}

/** Changes parameters of the address without showing the screen again; `null` and `""` remove one. */
export function setQuery(changes) {
  const parameters = query();
  for (const [name, value] of Object.entries(changes)) {
    parameters.delete(name);
    for (const item of [value].flat()) {
      if (item !== null && item !== undefined && item !== "") parameters.append(name, item);
    }
  }
  const text = parameters.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

/** Starts to show screens in `main`. `onChange` is called with the path of each. */
export function start(main, onChange) {
  current = { main, onChange };
  addEventListener("popstate", show);
  document.addEventListener("click", followLink);
  show();
}

/** Shows the screen of the address again. */
export function reload() {
  show();
}

function followLink(event) {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !isPlain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  const address = new URL(link.href);
  if (address.origin !== location.origin || !find(address.pathname)) return;
  if (address.hash && address.pathname === location.pathname) return;
  event.preventDefault();
  navigate(address.pathname + address.search);
}

function find(path) {
  for (const { pattern, names, load } of routes) {
    const match = pattern.exec(path);
    if (match) {
      const values = match.slice(1).map(decodeURIComponent);
      return { load, parameters: Object.fromEntries(names.map((name, at) => [name, values[at]])) };
    }
  }
  return null;
}

/** A screen is a module with `title` and `mount(root, parameters)`, which may return a function that is
 * called when the screen is left. */
async function show() {
  const mine = ++generation;
  leave();
  leave = () => {};
  const { main, onChange } = current;
  const found = find(location.pathname);
  const screen = await (found ? found.load() : import("./screens/not_found.js"));
  if (mine !== generation) return;
  document.title = `${screen.title} · Task platform`;
  const root = document.createElement("div");
  root.className = "screen";
  main.replaceChildren(root);
  onChange(location.pathname);
  scrollTo(0, 0);
  leave = screen.mount(root, found?.parameters ?? {}) ?? (() => {});
}
