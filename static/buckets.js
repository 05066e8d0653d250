// Events counted over time, for the histogram.

export const statuses = ["created", "modified", "deleted"];
export const severities = ["critical", "major", "minor", "warning", "info", "cleared", "none"];

const slots = statuses.length + severities.length;
const statusSlot = new Map(statuses.map((s, i) => [s, i]));
const severitySlot = new Map(severities.map((s, i) => [s, statuses.length + i]));

// steps are the widths of a bar, in milliseconds.
export const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].map((s) => s * 1000);

export const stepFor = (span, bars) => steps.find((s) => span / s <= bars) ?? steps.at(-1);

export class Buckets {
  // base is the finest step, keep how many buckets are held at most.
  constructor(base = 1000, keep = 21_600) {
    this.base = base;
    this.keep = keep;
    this.map = new Map();
    this.total = 0;
    this.newest = 0;
    this.oldest = Infinity;
  }

  add(t, status, severity) {
    const key = Math.floor(t / this.base);
    let b = this.map.get(key);
    if (!b) {
      b = new Uint32Array(slots);
      this.map.set(key, b);
      if (this.map.size > this.keep) this.#forget();
    }
    b[statusSlot.get(status) ?? 1]++;
    b[severitySlot.get(severity) ?? slots - 1]++;
    this.total++;
    if (t > this.newest) this.newest = t;
    if (t < this.oldest) this.oldest = t;
  }

  #forget() {
    const keys = [...this.map.keys()].sort((a, b) => a - b);
    for (const k of keys.slice(0, keys.length - Math.floor(this.keep * 0.9))) this.map.delete(k);
    this.oldest = Math.max(this.oldest, keys[keys.length - Math.floor(this.keep * 0.9)] * this.base);
  }

  // series returns the starts of the bars from from to to, and for each name of
  // by ("status" or "severity") the counts.
  series(from, to, step, by) {
    step = Math.max(step, this.base);
    const names = by === "severity" ? severities : statuses;
    const offset = by === "severity" ? statuses.length : 0;
    const first = Math.floor(from / step), n = Math.max(Math.floor(to / step) - first + 1, 1);
    const times = Array.from({ length: n }, (_, i) => (first + i) * step);
    const counts = names.map(() => new Array(n).fill(0));
    const per = step / this.base;
    const put = (key, b) => {
      const i = Math.floor(key / per) - first;
      if (i >= 0 && i < n) for (let s = 0; s < names.length; s++) counts[s][i] += b[offset + s];
    };
    if (n * per < this.map.size) {
      for (let key = Math.floor(first * per); key < (first + n) * per; key++) {
        const b = this.map.get(key);
        if (b) put(key, b);
      }
    } else for (const [key, b] of this.map) put(key, b);
    return { times, names, counts, step };
  }
}
