// The histogram: bars stacked by status or severity, gaps hatched, a range
// chosen by dragging or with the keys.

import uPlot from "./vendor/uplot-1.6.32/uPlot.esm.js";
import { h } from "./dom.js";
import { clock, count, day, plural } from "./format.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// colour resolves one of the style sheet's colours for a canvas, which does not
// know light-dark().
const colours = new Map();
let probe;
function colour(name) {
  if (!colours.has(name)) {
    probe ??= document.body.appendChild(h("span", { class: "unseen", "aria-hidden": "true" }));
    probe.style.color = `var(${name}, var(--bar-modified))`;
    colours.set(name, getComputedStyle(probe).color);
  }
  return colours.get(name);
}

const signs = { created: "+", modified: "~", deleted: "−" };

export class Chart {
  // on.range(from, to), on.hover(text or "").
  constructor(el, on) {
    this.el = el;
    this.on = on;
    this.data = null;
    this.gaps = [];
    this.known = 0; // since when events are counted
    this.cursor = -1; // bar chosen with the keys
    this.utc = true;
    this.box = h("div", { class: "plot" });
    this.el.append(this.box);
    this.el.tabIndex = 0;
    this.el.setAttribute("role", "img");
    this.el.addEventListener("keydown", (e) => this.#key(e));
    this.el.addEventListener("blur", () => { this.cursor = -1; this.anchor = -1; this.plot?.redraw(false); on.hover(""); });
    new ResizeObserver(() => this.#resize()).observe(this.el);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.el;
    if (this.plot && width > 0 && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
  }

  rebuild() {
    colours.clear();
    this.plot?.destroy();
    this.plot = null;
    if (this.data) this.#draw();
  }

  // show draws what Buckets.series returned, from from to to.
  show(series, { from, to, gaps, known, utc, by, breaks = [], resyncs = [] }) {
    this.breaks = breaks; // {kind, from, to}: kind is lost (acitap did not answer the page) or down (no session with the fabric)
    this.resyncs = resyncs; // {t, n}: what a comparison found
    const again = this.by !== by;
    this.by = by;
    this.utc = utc;
    this.gaps = gaps;
    this.known = known;
    this.from = from;
    this.to = to;
    this.series = series;
    const x = series.times.map((t) => (t + series.step / 2) / 1000);
    // Stacked by hand: the bar of the whole is drawn first, the others over it.
    const order = series.names.map((_, i) => i);
    const sums = [];
    let below = new Array(x.length).fill(0);
    for (const i of order) {
      below = below.map((v, k) => v + series.counts[i][k]);
      sums.push(below);
    }
    this.totals = below;
    this.data = [x, ...sums.reverse()];
    if (again) this.rebuild();
    else this.#draw();
    const total = below.reduce((a, b) => a + b, 0);
    const parts = series.names.map((n, i) => [n, series.counts[i].reduce((a, b) => a + b, 0)]).filter(([, c]) => c > 0);
    this.el.setAttribute("aria-label", `Histogram of ${count(total)} events from ${clock(from, utc, false)} to ${clock(to, utc, false)}: ${parts.map(([n, c]) => `${count(c)} ${n}`).join(", ") || "none"}. ${this.#marks(from, to)} Arrow keys move, Shift with arrows chooses a range, Enter loads it.`);
    return parts;
  }

  // #marks says what is drawn between two moments beside the bars.
  #marks(from, to) {
    const within = (x) => x.to >= from && x.from < to;
    const n = (list) => list.filter(within).length;
    const kind = (k) => (this.breaks ?? []).filter((b) => b.kind === k);
    const found = (this.resyncs ?? []).reduce((sum, r) => sum + (r.t >= from && r.t < to ? r.n : 0), 0);
    return [
      n(this.gaps) > 0 && plural(n(this.gaps), "gap"), found > 0 && `${count(found)} found by comparing after an outage`,
      n(kind("lost")) > 0 && "acitap did not answer this page", n(kind("down")) > 0 && "no session with the fabric",
    ].filter(Boolean).map((x) => `${x}.`).join(" ");
  }

  #draw() {
    if (!this.plot) {
      const { clientWidth: width, clientHeight: height } = this.el;
      if (width === 0) return;
      this.plot = new uPlot(this.#options(width, height), this.data, this.box);
    } else {
      this.plot.batch(() => {
        this.plot.setData(this.data, false);
        this.plot.setScale("x", { min: this.from / 1000, max: this.to / 1000 });
        this.plot.setScale("y", { min: 0, max: this.#top() });
      });
    }
  }

  #top() { return Math.max(4, ...this.totals) * 1.12; }

  #options(width, height) {
    const line = colour("--line"), text = colour("--text-2");
    const names = [...this.series.names].reverse();
    const font = `11px ${css("--font")}`;
    const bars = uPlot.paths.bars({ size: [0.92, 60], align: 0 });
    return {
      width, height,
      padding: [6, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { show: false } },
      select: { show: true },
      scales: {
        x: { time: true, range: () => [this.from / 1000, this.to / 1000] },
        y: { range: () => [0, this.#top()] },
      },
      tzDate: (ts) => this.utc ? uPlot.tzDate(new Date(ts * 1000), "Etc/UTC") : new Date(ts * 1000),
      axes: [
        { stroke: text, font, size: 20, gap: 2, space: 90, ticks: { show: false }, grid: { show: false },
          values: (u, splits) => splits.map((s) => (this.to - this.from > 2 * 86_400_000 ? `${day(s * 1000, this.utc).slice(5)} ` : "") + clock(s * 1000, this.utc, false).replace(/^(\d\d:\d\d):00$/, "$1")) },
        { stroke: text, font, size: 40, gap: 4, space: 26, ticks: { show: false }, grid: { stroke: line, width: 1 },
          values: (u, splits) => splits.map((s) => s >= 10_000 ? `${s / 1000}k` : Number.isInteger(s) ? count(s) : "") },
      ],
      series: [{}, ...names.map((n) => ({ label: n, fill: colour(`--bar-${n}`), stroke: "transparent", width: 0, paths: bars, points: { show: false } }))],
      hooks: {
        drawClear: [(u) => this.#under(u)],
        draw: [(u) => this.#over(u)],
        setSelect: [(u) => this.#select(u)],
        setCursor: [(u) => this.on.hover(u.cursor.idx == null || u.cursor.left < 0 ? "" : this.says(u.cursor.idx))],
      },
    };
  }

  // #under hatches what is not counted and what was out of sight.
  #under(u) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    const x = (ms) => Math.min(Math.max(u.valToPos(ms / 1000, "x", true), left), left + width);
    ctx.save();
    if (this.known > this.from) {
      ctx.fillStyle = colour("--unknown");
      ctx.fillRect(left, top, x(this.known) - left, height);
    }
    for (const g of this.gaps) {
      const a = x(g.from), b = Math.max(x(g.to), a + 3);
      if (g.to < this.from || g.from > this.to) continue;
      ctx.fillStyle = colour("--gap-fill");
      ctx.fillRect(a, top, b - a, height);
      ctx.save();
      ctx.beginPath();
      ctx.rect(a, top, b - a, height);
      ctx.clip();
      ctx.strokeStyle = colour("--gap");
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      for (let d = a - height; d < b; d += 6 * devicePixelRatio) {
        ctx.moveTo(d, top + height);
        ctx.lineTo(d + height, top);
      }
      ctx.stroke();
      ctx.restore();
    }
    ctx.restore();
  }

  // #signs draws over the bars: a band along the top while a connection was lost,
  // broken where it was the fabric's, and a diamond where a comparison found something.
  #signs(u) {
    const { ctx } = u;
    const { left, top, width } = u.bbox;
    const px = devicePixelRatio;
    const x = (ms) => Math.min(Math.max(u.valToPos(ms / 1000, "x", true), left), left + width);
    ctx.save();
    for (const b of this.breaks ?? []) {
      if (b.to < this.from || b.from > this.to) continue;
      const a = x(b.from), e = Math.max(x(b.to), a + 3 * px);
      ctx.fillStyle = colour(b.kind === "lost" ? "--lost" : "--major");
      const y = top + (b.kind === "lost" ? 0 : 5 * px);
      if (b.kind === "lost") ctx.fillRect(a, y, e - a, 4 * px);
      else for (let d = a; d < e; d += 5 * px) ctx.fillRect(d, y, Math.min(3 * px, e - d), 4 * px);
    }
    ctx.fillStyle = colour("--gap");
    ctx.strokeStyle = colour("--surface");
    ctx.lineWidth = px;
    for (const r of this.resyncs ?? []) {
      if (r.t < this.from || r.t > this.to) continue;
      const at = x(r.t), y = top + 14 * px, s = 4.5 * px;
      ctx.beginPath();
      ctx.moveTo(at, y - s);
      ctx.lineTo(at + s, y);
      ctx.lineTo(at, y + s);
      ctx.lineTo(at - s, y);
      ctx.closePath();
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  }

  #over(u) {
    this.#signs(u);
    if (this.cursor < 0) return;
    const { ctx } = u;
    const lo = Math.min(this.cursor, this.anchor >= 0 ? this.anchor : this.cursor), hi = Math.max(this.cursor, this.anchor);
    const a = u.valToPos(this.series.times[lo] / 1000, "x", true);
    const b = u.valToPos((this.series.times[hi] + this.series.step) / 1000, "x", true);
    ctx.save();
    ctx.strokeStyle = colour("--accent");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.strokeRect(a, u.bbox.top, Math.max(b - a, 2), u.bbox.height);
    ctx.restore();
  }

  says(i) {
    const s = this.series;
    if (!(i >= 0 && i < s.times.length)) return "";
    const parts = s.names.map((n, k) => [n, s.counts[k][i]]).filter(([, c]) => c > 0).map(([n, c]) => `${signs[n] ?? ""}${count(c)} ${n === "none" ? "no severity" : n}`);
    return `${clock(s.times[i], this.utc, false)} – ${clock(s.times[i] + s.step, this.utc, false)}: ${parts.join(", ") || "no events"}${this.#marks(s.times[i], s.times[i] + s.step).replace(/^(?=.)/, ". ")}`;
  }

  #select(u) {
    const { left, width } = u.select;
    if (width < 3) return;
    const from = u.posToVal(left, "x") * 1000, to = u.posToVal(left + width, "x") * 1000;
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.on.range(from, to);
  }

  #key(e) {
    if (!this.series || e.ctrlKey || e.metaKey || e.altKey) return;
    const n = this.series.times.length;
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[e.key];
    if (step || e.key === "Home" || e.key === "End") {
      e.preventDefault();
      const at = this.cursor < 0 ? n - 1 : this.cursor;
      const to = e.key === "Home" ? 0 : e.key === "End" ? n - 1 : Math.min(Math.max(at + (this.cursor < 0 ? 0 : step), 0), n - 1);
      if (e.shiftKey) { if (!(this.anchor >= 0)) this.anchor = at; } else this.anchor = -1;
      this.cursor = to;
      this.plot?.redraw(false);
      this.on.hover(this.says(to), true);
    } else if (e.key === "Enter" && this.cursor >= 0) {
      e.preventDefault();
      const lo = Math.min(this.cursor, this.anchor >= 0 ? this.anchor : this.cursor), hi = Math.max(this.cursor, this.anchor);
      this.on.range(this.series.times[lo], this.series.times[hi] + this.series.step);
    } else if (e.key === "Escape" && this.cursor >= 0) {
      e.stopPropagation();
      this.cursor = this.anchor = -1;
      this.plot?.redraw(false);
      this.on.hover("");
    }
  }
}
