// Keys, and the list of them that ? shows.

import { h } from "./dom.js";
import { dialog } from "./palette.js";

export const keys = [
  ["Everywhere", [
    ["Ctrl K", "commands", "command palette"], ["?", "help", "this list"], ["g e", "view-events", "events"], ["g o", "view-objects", "objects"],
    ["g s", "view-subscriptions", "subscriptions"], ["g w", "view-webhooks", "webhooks"], ["g c", "view-session", "session"], ["u", "zone", "local time or UTC"], ["t", "theme", "dark, light, system"],
  ]],
  ["Events", [
    ["/", "filter", "write a filter"], ["f", "find", "find in the rows"], ["n", "next-hit", "next hit; N the one before"], ["Space", "pause", "pause and resume"],
    ["G", "newest", "to the newest"], ["c", "clear", "clear the list"], ["j k ↓ ↑", "", "next and previous event"], ["Enter", "", "open the event"],
    ["+", "filter-in", "only events like this one"], ["-", "filter-out", "no events like this one"], ["x", "context", "in context: 30 s around it"],
    ["b", "back-live", "back to live"], ["h", "histogram", "to the histogram"], ["p", "presets", "presets and saved views"], ["s", "save", "save this view"],
    ["e", "export", "export"], ["v", "columns", "columns"],
  ]],
  ["Webhooks", [
    ["a", "hook-add", "add a webhook"], ["Esc", "", "back to the list"],
  ]],
  ["The open event", [
    ["1–4", "", "change, object, history, JSON"], ["l", "copy-link", "copy a link to this view"], ["y", "copy-curl", "copy as curl"], ["Esc", "", "close"],
  ]],
];

export function help() {
  dialog("Keyboard", "help", h("div", { class: "help-groups" }, keys.map(([title, list]) => h("section", {}, h("h3", {}, title),
    h("dl", { class: "keys" }, list.map(([key, , about]) => h("div", {}, h("dt", {}, key.split(" ").map((k, i) => [i > 0 ? " " : null, h("kbd", {}, k)])), h("dd", {}, about))))))),
  h("p", { class: "hint" }, "In the histogram: arrow keys move, Shift with them chooses a range, Enter loads it. In the filter: Ctrl Space completes, Tab takes."));
}

const byKey = new Map();
for (const [, list] of keys) for (const [key, name] of list) if (name && key.length === 1) byKey.set(key, name);
const going = { e: "view-events", o: "view-objects", s: "view-subscriptions", w: "view-webhooks", c: "view-session" };

// listen calls run(name) for keys that are pressed outside of text fields.
export function listen(run) {
  let g = 0;
  addEventListener("keydown", (e) => {
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k" && !e.altKey && !e.shiftKey) {
      e.preventDefault();
      if (!document.querySelector("dialog[open]")) run("commands");
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
    const t = e.target;
    if (t.closest?.("input, textarea, select, dialog, .menu, [contenteditable]")) return;
    if (g && Date.now() - g < 1200) {
      g = 0;
      if (going[e.key]) { e.preventDefault(); return run(going[e.key]); }
    }
    if (e.key === "g") { g = Date.now(); return; }
    if (e.key === "Escape") return run("escape");
    if (e.key === "N") return run("previous-hit");
    if (e.key === " ") {
      if (t.closest?.("button, a, summary")) return;
      e.preventDefault();
      return run("pause");
    }
    if (/^[1-4]$/.test(e.key)) return run(`tab-${e.key}`);
    const name = byKey.get(e.key);
    if (name) {
      e.preventDefault();
      run(name);
    }
  });
}
