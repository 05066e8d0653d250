// The rows that the page holds, oldest first, and what waits while one reads.
// Nothing that the page leaves out is left out silently.

export const CAP = 50_000;

export class Store {
  constructor(cap = CAP) {
    this.cap = cap;
    this.reset();
  }

  reset(rows = [], { older = true } = {}) {
    this.rows = rows;
    this.waiting = [];
    this.paused = false;
    this.skipped = 0; // came while paused and found no room
    this.skippedFrom = this.skippedTo = 0;
    this.trimmed = 0; // fell off the old end; history has them
    this.hasOlder = older; // history may reach back further
  }

  get length() { return this.rows.length; }

  at(i) { return this.rows[i]; }

  // push takes new rows. It returns how many fell off the old end.
  push(rows) {
    if (this.paused) {
      this.#append(this.waiting, rows);
      const over = this.waiting.length - this.cap;
      if (over > 0) {
        const lost = this.waiting.splice(0, over);
        this.skipped += over;
        this.skippedFrom ||= lost[0].id;
        this.skippedTo = lost.at(-1).id;
      }
      return 0;
    }
    this.#append(this.rows, rows);
    return this.#trim();
  }

  #append(to, rows) { for (const r of rows) to.push(r); }

  #trim() {
    const over = this.rows.length - this.cap;
    if (over <= 0) return 0;
    this.rows.splice(0, over);
    this.trimmed += over;
    this.hasOlder = true;
    return over;
  }

  // prepend puts older rows before the others; it may go over the cap while
  // one reads, since cutting would make the list jump.
  prepend(rows) { this.rows = rows.concat(this.rows); }

  pause() { this.paused = true; }

  // resume shows what has waited. What found no room is said by a row.
  resume() {
    this.paused = false;
    const waiting = this.waiting;
    this.waiting = [];
    if (this.skipped > 0) {
      this.rows.push({ id: this.skippedTo, t: waiting[0]?.t ?? Date.now(), kind: "left-out", n: this.skipped, from: this.skippedFrom, to: this.skippedTo });
      this.skipped = this.skippedFrom = this.skippedTo = 0;
    }
    for (const r of waiting) this.rows.push(r);
    return this.#trim();
  }

  clear() {
    const kept = this.paused ? this.waiting : [];
    this.reset([], { older: true });
    return kept.length;
  }

  // indexOf finds a row by its id.
  indexOf(id) {
    let lo = 0, hi = this.rows.length - 1;
    while (lo <= hi) {
      const mid = (lo + hi) >> 1;
      const v = this.rows[mid].id;
      if (v === id) {
        // A note shares the id of the event before it.
        for (let i = mid; i >= 0 && this.rows[i].id === id; i--) if (this.rows[i].kind === "event" || this.rows[i].kind === "gap") return i;
        for (let i = mid; i < this.rows.length && this.rows[i].id === id; i++) if (this.rows[i].kind === "event" || this.rows[i].kind === "gap") return i;
        return mid;
      }
      if (v < id) lo = mid + 1;
      else hi = mid - 1;
    }
    return -1;
  }
}
