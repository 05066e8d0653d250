// A list of any length as a grid of which only what is seen is in the document.
// Rows have one height; their elements are used again and again.

import "./process.js";
import { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from "./vendor/virtual-core-3.19.11/index.js";
import { h } from "./dom.js";

const step = 2000;

let grids = 0;

export class Table {
  // options: label, count(), draw(element, index), rowHeight(), head (an
  // element or null), onOpen(index), onSelect(index, event), onScroll(end).
  constructor(el, options) {
    this.o = options;
    this.id = `grid${++grids}`;
    this.el = el;
    this.selected = -1;
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.head = h("div", { class: "row head", role: "row", "aria-rowindex": "1" });
    this.headGroup = h("div", { class: "head-group", role: "rowgroup" }, this.head);
    el.replaceChildren(this.headGroup, this.body);
    el.classList.add("virtual");
    el.setAttribute("role", "grid");
    el.setAttribute("aria-label", options.label);
    el.tabIndex = 0;
    this.pool = [];
    this.rowHeight = options.rowHeight();
    this.virtualizer = new Virtualizer(this.#options());
    this.unmount = this.virtualizer._didMount();
    this.virtualizer._willUpdate();
    this.lastTop = 0;
    el.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    el.addEventListener("click", (e) => {
      const i = this.indexOf(e.target);
      if (i >= 0) options.onSelect?.(i, e);
    });
    el.addEventListener("keydown", (e) => this.#key(e));
  }

  #options() {
    return {
      // In steps: each other count costs a pass over all rows, and those beyond
      // the last are not drawn.
      count: Math.ceil(this.o.count() / step) * step,
      getScrollElement: () => this.el,
      estimateSize: () => this.rowHeight,
      overscan: 6,
      scrollMargin: 0,
      scrollPaddingStart: this.headHeight,
      paddingStart: 0,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      onChange: () => this.draw(),
    };
  }

  get headHeight() { return this.headGroup.offsetHeight || 0; }

  columns(template, cells) {
    this.el.style.setProperty("--cols", template);
    this.head.replaceChildren(...cells.map((c) => h("div", { class: `cell c-${c.cls ?? ""}`, role: "columnheader", "aria-sort": c.sort ?? null }, c.content ?? c.label)));
    this.el.setAttribute("aria-colcount", String(cells.length));
    for (const row of this.pool) row.dataset.cols = ""; // drawn anew
  }

  // changed takes a new number of rows, or a new height.
  changed() {
    const height = this.o.rowHeight();
    if (height !== this.rowHeight) {
      this.rowHeight = height;
      this.virtualizer.measure();
    }
    this.virtualizer.setOptions(this.#options());
    this.virtualizer._willUpdate();
    this.draw();
  }

  draw() {
    const n = this.o.count();
    const total = `${n * this.rowHeight}px`;
    if (this.body.style.height !== total) this.body.style.height = total;
    this.el.setAttribute("aria-rowcount", String(n + 1));
    const items = this.virtualizer.getVirtualItems();
    while (this.pool.length < items.length) {
      const row = h("div", { class: "row", role: "row" });
      this.pool.push(row);
      this.body.append(row);
    }
    const visible = items.filter((i) => i.index < n);
    this.#rotate(visible[0]?.index ?? 0);
    let used = 0;
    for (const item of visible) {
      const row = this.pool[used++];
      if (row.hidden) row.hidden = false;
      const y = item.index * this.rowHeight;
      if (row.y !== y) {
        row.y = y;
        row.style.transform = `translateY(${y}px)`;
      }
      if (row.index !== item.index) {
        row.index = item.index;
        row.setAttribute("aria-rowindex", String(item.index + 2));
      }
      const selected = item.index === this.selected;
      if (row.selected !== selected) {
        row.selected = selected;
        row.setAttribute("aria-selected", String(selected));
        row.classList.toggle("selected", selected);
        if (selected) row.id = `${this.id}-selected`;
        else row.removeAttribute("id");
      }
      this.o.draw(row, item.index);
    }
    for (let i = used; i < this.pool.length; i++) if (!this.pool[i].hidden) this.pool[i].hidden = true;
    if (this.pool.some((r) => r.selected && !r.hidden)) this.el.setAttribute("aria-activedescendant", `${this.id}-selected`);
    else this.el.removeAttribute("aria-activedescendant");
  }

  // #rotate moves elements from one end to the other, so that the element of a
  // row stays the same while one scrolls and their order is that of the rows.
  #rotate(first) {
    const by = first - (this.first ?? 0);
    this.first = first;
    if (by === 0 || Math.abs(by) >= this.pool.length) return;
    if (by > 0) {
      const moved = this.pool.splice(0, by);
      this.pool.push(...moved);
      this.body.append(...moved);
    } else {
      const moved = this.pool.splice(by);
      this.pool.unshift(...moved);
      this.body.prepend(...moved);
    }
  }

  indexOf(target) { return target.closest?.(".rows > .row")?.index ?? -1; }

  select(i, reveal = true) {
    this.selected = i;
    if (reveal && i >= 0) this.reveal(i);
    this.draw();
  }

  reveal(i) {
    const top = i * this.rowHeight, view = this.el.clientHeight - this.headHeight;
    if (top < this.el.scrollTop) this.el.scrollTop = top;
    else if (top + this.rowHeight > this.el.scrollTop + view) this.el.scrollTop = top + this.rowHeight - view;
  }

  center(i) {
    this.el.scrollTop = Math.max(0, i * this.rowHeight - (this.el.clientHeight - this.headHeight - this.rowHeight) / 2);
  }

  toEnd() {
    this.el.scrollTop = this.el.scrollHeight;
    this.lastTop = this.el.scrollTop;
  }

  get atEnd() { return this.el.scrollHeight - this.el.clientHeight - this.el.scrollTop < this.rowHeight * 1.5; }

  // shift keeps what is read in place when n rows were put before it.
  shift(n) {
    this.el.scrollTop += n * this.rowHeight;
    this.lastTop = this.el.scrollTop;
    if (this.selected >= 0) this.selected += n;
  }

  #scrolled() {
    const up = this.el.scrollTop < this.lastTop - 1;
    this.lastTop = this.el.scrollTop;
    this.o.onScroll?.({ up, end: this.atEnd, top: this.el.scrollTop });
  }

  #key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target !== this.el) return;
    const n = this.o.count(), page = Math.max(Math.floor((this.el.clientHeight - this.headHeight) / this.rowHeight) - 1, 1);
    const from = this.selected >= 0 ? this.selected : n; // the newest first
    const to = { ArrowDown: from + 1, j: from + 1, ArrowUp: from - 1, k: from - 1, PageDown: from + page, PageUp: from - page, Home: 0, End: n - 1 }[e.key];
    if (to !== undefined && n > 0) {
      e.preventDefault();
      this.o.onSelect?.(Math.min(Math.max(to, 0), n - 1), e);
    } else if (e.key === "Enter" && this.selected >= 0) {
      e.preventDefault();
      this.o.onOpen?.(this.selected);
    }
  }
}
