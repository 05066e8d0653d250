// Columns by hand: the edge of a heading drags its width, a heading drags its
// place. The keys for the same are in the menu of columns.

import { h } from "./dom.js";

export const least = 48; // pixels

// adjustable makes the headings of a table so. on: ids() of the columns in
// their order, resize(id, pixels, done), reset(id), move(id, to).
export function adjustable(head, on) {
  const cells = () => [...head.children];
  const mark = (cell, side) => { for (const c of cells()) { c.classList.toggle("drop-before", c === cell && side === 0); c.classList.toggle("drop-after", c === cell && side === 1); } };

  // grips puts a handle on each heading; it is called when they are drawn anew.
  const grips = () => { for (const c of cells()) if (!c.querySelector(".grip")) c.append(h("span", { class: "grip", "aria-hidden": "true", title: "Drag: width. Double click: as it was" })); };

  head.addEventListener("dblclick", (e) => {
    if (e.target.className === "grip") on.reset(on.ids()[cells().indexOf(e.target.parentNode)]);
  });
  head.addEventListener("pointerdown", (e) => {
    const cell = e.target.closest?.(".cell");
    if (!cell || e.button !== 0 || e.pointerType === "touch" || cells().length !== on.ids().length) return;
    const id = on.ids()[cells().indexOf(cell)];
    const began = e.clientX, width = cell.getBoundingClientRect().width, sizing = e.target.className === "grip";
    let moving = sizing, to = -1;
    e.preventDefault(); // no text is marked
    const move = (m) => {
      const by = m.clientX - began;
      if (sizing) return on.resize(id, Math.max(Math.round(width + by), least), false);
      if (!moving && Math.abs(by) < 6) return;
      moving = true;
      head.classList.add("dragging");
      const list = cells();
      const over = list.findIndex((c) => { const r = c.getBoundingClientRect(); return m.clientX >= r.left && m.clientX < r.right; });
      if (over < 0) return;
      const r = list[over].getBoundingClientRect(), side = m.clientX > r.left + r.width / 2 ? 1 : 0;
      to = over + side;
      mark(list[over], side);
    };
    const end = (m) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      head.classList.remove("dragging");
      mark(null);
      if (m.type !== "pointerup") return;
      if (sizing) return on.resize(id, Math.max(Math.round(width + m.clientX - began), least), true);
      const from = on.ids().indexOf(id);
      if (moving && to >= 0 && to !== from && to !== from + 1) on.move(id, to > from ? to - 1 : to);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  });
  return { grips };
}
