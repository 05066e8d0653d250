// Dialogs: the command palette, the list of keys, and menus.

import { fill, h } from "./dom.js";

let ids = 0;

// dialog opens a modal box and returns it; it goes away when it is closed.
export function dialog(title, cls, ...children) {
  const id = `dialog${++ids}`;
  const box = h("dialog", { class: cls, "aria-labelledby": id },
    h("header", { class: "dialog-head" }, h("h2", { id }, title), h("button", { type: "button", class: "quiet", "aria-label": "Esc: close", onclick: () => box.close() }, "Esc")),
    ...children);
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (e) => { if (e.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

// choose offers a list to choose from by typing. items: {label, about, key, group, run}.
// With free, what was typed can be taken as it is.
export function choose(title, items, { placeholder = "Type to find", free = null } = {}) {
  const id = `choose${++ids}`;
  const input = h("input", {
    type: "text", class: "choose-input", role: "combobox", placeholder, "aria-label": title, "aria-controls": id, "aria-expanded": "true",
    "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
  });
  const list = h("ul", { class: "choose-list", role: "listbox", id, "aria-label": title, tabindex: "-1" });
  let shown = [], active = 0;
  const score = (item, words) => {
    const text = `${item.group ?? ""} ${item.label} ${item.about ?? ""}`.toLowerCase();
    let s = 0;
    for (const w of words) {
      const at = text.indexOf(w);
      if (at < 0) return -1;
      s += item.label.toLowerCase().startsWith(w) ? 3 : item.label.toLowerCase().includes(w) ? 2 : 1;
    }
    return s;
  };
  const draw = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = items.map((item) => ({ item, s: score(item, words) })).filter((x) => x.s >= 0);
    if (words.length > 0) shown.sort((a, b) => b.s - a.s);
    shown = shown.map((x) => x.item);
    if (free && input.value.trim()) shown.push(free(input.value.trim()));
    active = Math.min(active, Math.max(shown.length - 1, 0));
    fill(list, shown.length === 0 ? h("li", { class: "none", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "Nothing like that. Try fewer letters.")
      : shown.map((item, i) => h("li", { role: "option", id: `${id}-${i}`, "aria-selected": String(i === active), dataset: { i } },
        item.group && h("span", { class: "group" }, item.group), h("span", { class: "what" }, item.label),
        item.about && h("span", { class: "about" }, item.about), item.key && h("kbd", {}, item.key))));
    mark();
  };
  const mark = () => {
    for (const li of list.children) li.setAttribute("aria-selected", String(Number(li.dataset.i) === active));
    list.children[active]?.scrollIntoView({ block: "nearest" });
    if (shown.length > 0) input.setAttribute("aria-activedescendant", `${id}-${active}`);
    else input.removeAttribute("aria-activedescendant");
  };
  const take = (i) => {
    const item = shown[i];
    if (!item) return;
    box.close();
    item.run(input.value);
  };
  input.addEventListener("input", () => { active = 0; draw(); });
  input.addEventListener("keydown", (e) => {
    const n = shown.length;
    if (e.key === "ArrowDown" && n > 0) active = (active + 1) % n;
    else if (e.key === "ArrowUp" && n > 0) active = (active + n - 1) % n;
    else if (e.key === "PageDown") active = Math.min(active + 8, n - 1);
    else if (e.key === "PageUp") active = Math.max(active - 8, 0);
    else if (e.key === "Enter") { e.preventDefault(); return take(active); } else return;
    e.preventDefault();
    mark();
  });
  list.addEventListener("click", (e) => {
    const li = e.target.closest("li");
    if (li) take(Number(li.dataset.i));
  });
  const box = dialog(title, "choose", input, list);
  draw();
  input.focus();
  return box;
}

// menu opens a list of actions below an element.
export function menu(anchor, title, items) {
  document.querySelector(".menu")?.dismiss();
  const list = h("div", { class: "menu", role: "menu", "aria-label": title });
  const close = (back) => {
    list.remove();
    removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", dismiss);
    anchor.setAttribute("aria-expanded", "false");
    if (back) anchor.focus?.();
  };
  const dismiss = () => close(false);
  list.dismiss = dismiss;
  const outside = (e) => { if (!list.contains(e.target) && !anchor.contains(e.target)) close(false); };
  for (const item of items) {
    if (item.heading) { list.append(h("div", { class: "menu-heading", role: "presentation" }, item.heading)); continue; }
    if (item.node) { list.append(item.node); continue; }
    const role = item.checked === undefined ? "menuitem" : "menuitemcheckbox";
    const b = h("button", { type: "button", role, tabindex: "-1", "aria-checked": item.checked === undefined ? null : String(item.checked) },
      item.checked === undefined ? null : h("span", { class: "check", "aria-hidden": "true" }, item.checked ? "✓" : ""),
      h("span", { class: "what" }, item.label), item.about && h("span", { class: "about" }, item.about), item.key && h("kbd", {}, item.key));
    b.addEventListener("click", () => {
      if (item.stay) {
        item.run();
        const on = item.state?.();
        if (on !== undefined) {
          b.setAttribute("aria-checked", String(on));
          b.querySelector(".check").textContent = on ? "✓" : "";
        }
        return;
      }
      close(true);
      item.run();
    });
    if (item.onkey) b.addEventListener("keydown", (e) => { if (item.onkey(e)) { e.preventDefault(); e.stopPropagation(); } });
    list.append(b);
  }
  list.addEventListener("keydown", (e) => {
    const all = [...list.querySelectorAll("button[role]")];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: (at + 1) % all.length, ArrowUp: (at + all.length - 1) % all.length, Home: 0, End: all.length - 1 }[e.key];
    if (to !== undefined) { e.preventDefault(); all[to]?.focus(); } else if (e.key === "Escape") { e.preventDefault(); e.stopPropagation(); close(true); } else if (e.key === "Tab") close(false);
  });
  document.getElementById("main").append(list);
  const r = anchor.getBoundingClientRect();
  const w = list.offsetWidth, hgt = list.offsetHeight;
  list.style.left = `${Math.max(6, Math.min(r.left, innerWidth - w - 6))}px`;
  list.style.top = `${r.bottom + hgt + 6 > innerHeight && r.top > hgt ? r.top - hgt - 4 : r.bottom + 4}px`;
  anchor.setAttribute("aria-expanded", "true");
  addEventListener("pointerdown", outside, true);
  addEventListener("resize", dismiss);
  list.querySelector("button[role]")?.focus();
  return list;
}
