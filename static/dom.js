// Elements without markup. Text from the fabric reaches the document as text
// nodes and attribute values only; nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

// h makes an element. In props: on… are listeners, dataset is one, class and
// every other name is an attribute; true is an empty attribute, false and null
// none. Children are nodes, texts, and lists of them; null and false are left out.
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(el.dataset, value);
    else if (name === "value") el.value = value;
    else el.setAttribute(name, value === true ? "" : String(value));
  }
  append(el, children);
  return el;
}

export function append(el, children) {
  for (const child of children) {
    if (child == null || child === false || child === "") continue;
    if (Array.isArray(child)) append(el, child);
    else el.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return el;
}

export function fill(el, ...children) {
  el.replaceChildren();
  return append(el, children);
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

// button makes a button with an icon, a text, or both. label is its name for
// screen readers and its tooltip; key is the shortcut, which the tooltip tells.
export function button({ icon: name, text, label, key, class: cls = "quiet", onclick, ...rest }) {
  const title = label ? (key ? `${label} (${key})` : label) : key ? `${text} (${key})` : null;
  return h("button", { type: "button", class: cls, title, "aria-label": text ? null : label, onclick, ...rest },
    name && icon(name), text && h("span", { class: name ? "wide" : null }, text));
}

export const $ = (id) => document.getElementById(id);

let announceTimer;

// announce says something to screen readers once it stands for a moment.
export function announce(text) {
  clearTimeout(announceTimer);
  announceTimer = setTimeout(() => { $("announce").textContent = text; }, 300);
}

export function toast(text, kind = "") {
  const box = h("div", { class: `toast ${kind}` }, text);
  $("toasts").append(box);
  setTimeout(() => box.remove(), kind === "bad" ? 9000 : 4000);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS a browser has no clipboard API.
    const area = h("textarea", { class: "unseen", readonly: true, "aria-hidden": "true" });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) return toast(`The browser does not let the page copy. ${what}: ${text}`, "bad");
  }
  toast(`${what} copied`);
}

// mark appends text to el with every occurrence of a lower-case needle marked.
export function mark(el, text, needle) {
  if (!needle) {
    el.append(text);
    return;
  }
  const low = text.toLowerCase();
  let from = 0;
  for (let at = low.indexOf(needle); at >= 0; at = low.indexOf(needle, from)) {
    if (at > from) el.append(text.slice(from, at));
    const m = document.createElement("mark");
    m.textContent = text.slice(at, at + needle.length);
    el.append(m);
    from = at + needle.length;
  }
  if (from < text.length) el.append(text.slice(from));
}

// clean makes invisible and direction-changing characters visible: names come
// from strangers, and one that reverses the text around it can lie.
const unsafe = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
export function clean(text) {
  const s = String(text);
  return s.replace(unsafe, (c) => c === "\n" ? "⏎" : c === "\t" ? "⇥" : `⟨${c.codePointAt(0).toString(16).padStart(4, "0")}⟩`);
}

// lines is clean for a text of several lines.
export const lines = (text) => String(text).split("\n").map((l) => clean(l.replace(/\r$/, "")).replaceAll("⇥", "\t")).join("\n");

// held reports whether somebody is at a part of the page: a button in it is
// pressed, or text in it is marked. Drawing it anew would take that away.
export function held(el) {
  const marked = getSelection();
  return el.querySelector(":active") !== null || !marked.isCollapsed && el.contains(marked.anchorNode);
}
