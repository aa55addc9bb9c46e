// Returns what keeps people from using the page: texts with little contrast, controls without a name,
// repeated ids, a focus order of its own, and a page that is wider than its window.

const found = [];
const describe = (element) => {
  const text = (element.innerText || element.getAttribute("aria-label") || "").trim().slice(0, 40);
  return `${element.tagName.toLowerCase()}.${[...element.classList].join(".")} ${JSON.stringify(text)}`;
};
const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

// --- Contrast (WCAG 2.2, 1.4.3) ----------------------------------------------------------------

const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function rgba(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = (top, below) =>
  [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
function background(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const color = rgba(getComputedStyle(at).backgroundColor);
    layers.push(color);
    if (color[3] === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
}
function luminance(color) {
  const [r, g, b] = color.slice(0, 3).map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  const isHidden = element.closest(".hidden-text, .skip, noscript, option, [disabled], [aria-disabled=true]");
  if (!node.data.trim() || !shown(element) || isHidden) continue;
  const style = getComputedStyle(element);
  const ground = background(element);
  const ink = element instanceof SVGElement ? style.fill : style.color;
  const ratio = contrast(over(rgba(ink), ground), ground);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (isLarge ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${describe(element)}`);
}

// --- Names, ids, order, width ------------------------------------------------------------------

for (const control of document.querySelectorAll("a[href], button, input, select, textarea, summary")) {
  if (!shown(control) || control.type === "hidden" || control.closest("[aria-hidden=true]")) continue;
  const labels = [...(control.labels ?? [])].map((label) => label.innerText).join("");
  const others = (control.getAttribute("aria-labelledby") ?? "").split(" ");
  const referenced = others.map((id) => document.getElementById(id)?.innerText ?? "").join("");
  const own = control.matches("a, button, summary") ? control.innerText || control.textContent : "";
  const name = control.getAttribute("aria-label") || referenced || labels || own;
  if (!name.trim()) found.push(`no name: ${describe(control)} ${control.outerHTML.slice(0, 120)}`);
}
for (const image of document.querySelectorAll("img:not([alt])")) found.push(`no alt: ${image.src}`);
for (const element of document.querySelectorAll("[tabindex]")) {
  if (element.tabIndex > 0) found.push(`tabindex ${element.tabIndex}: ${describe(element)}`);
}
const ids = new Set();
for (const { id } of document.querySelectorAll("[id]")) {
  if (ids.has(id)) found.push(`repeated id: ${id}`);
  ids.add(id);
}
const width = document.documentElement.scrollWidth;
if (width > innerWidth) found.push(`the page is ${width} pixels wide in a window of ${innerWidth}`);
return found;
