// Creates elements. Texts always become text nodes, so nothing that a user wrote is read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element: `h("button", {class: "primary", onclick: save, disabled: true}, "Save")`.
 *
 * Attributes: `on…` functions listen to events, `style` is an object of properties (the
 * Content-Security-Policy forbids style attributes), `value`, `checked`, `indeterminate` and
 * `selected` are properties, `true` and `false` set and leave out an attribute, and `null` leaves
 * it out. Children: nodes, texts, numbers, arrays of them; `null` and `false` are left out.
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, with the same arguments as `h`. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replaces all children of an element. */
export function replace(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

const PROPERTIES = ["value", "checked", "indeterminate", "selected"];

function fill(element, attributes, children) {
  element.append(...nodes(children));
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") setStyle(element, value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (PROPERTIES.includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

function setStyle(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}
