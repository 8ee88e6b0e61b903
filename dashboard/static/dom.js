/** Small tools for the page. Texts go in as textContent only; styles through CSSOM, which the CSP allows. */

export const byId = (id) => document.getElementById(id);

export function setText(target, text) {
  const element = typeof target === "string" ? byId(target) : target;
  const shown = String(text);
  if (element.textContent !== shown) element.textContent = shown;
}

export function make(tag, options = {}, children = []) {
  const element = document.createElement(tag);
  if (options.class) element.className = options.class;
  if (options.text !== undefined) element.textContent = options.text;
  for (const [name, value] of Object.entries(options.data ?? {})) element.dataset[name] = value;
  for (const [name, value] of Object.entries(options.attributes ?? {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function setVar(element, name, value) {
  element.style.setProperty(name, value);
}

/** Bring the children of `list` in line with `items`: one child per key, made once, updated in place. */
export function reconcile(list, items, keyOf, create, update) {
  const before = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let place = list.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = before.get(key);
    if (child) before.delete(key);
    else {
      child = create(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else list.insertBefore(child, place);
    update(child, item);
  }
  for (const child of before.values()) child.remove();
}

/** Nodes in the order they were first named: their letter and colour stay the same while the page is open. */
const PALETTE_SIZE = 10;
const order = new Map();

export function nodeIndex(url) {
  if (!order.has(url)) order.set(url, order.size);
  return order.get(url);
}

export function nodeColour(url) {
  return `var(--node-${nodeIndex(url) % PALETTE_SIZE})`;
}

/** A, B, ... Z, A1, B1, ...: the sign of a node where colour alone would not do. */
export function nodeLetter(url) {
  const index = nodeIndex(url);
  const round = Math.floor(index / 26);
  return String.fromCharCode(65 + (index % 26)) + (round || "");
}

export function nodeBadge(url) {
  const badge = make("i", { class: "node-badge", text: nodeLetter(url) });
  setVar(badge, "--colour", nodeColour(url));
  return badge;
}
