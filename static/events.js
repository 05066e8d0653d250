// The view of events: the live list, the histogram, history, and what is
// selected in them.

import { Problem, entries, get, local, now } from "./api.js";
import { Buckets, stepFor } from "./buckets.js";
import { presets } from "./catalog.js";
import { Chart } from "./chart.js";
import { added, all as allColumns, chosen, usual, width } from "./columns.js";
import { Detail } from "./detail.js";
import { $, announce, button, clean, copy, fill, h, icon, mark, toast } from "./dom.js";
import { exportMenu } from "./export.js";
import { Feed } from "./feed.js";
import { FilterBar } from "./filterbar.js";
import { add, attribute, exclude, quote } from "./filter.js";
import { adjustable, least } from "./headtools.js";
import { ago, clock, count, day, duration, parentDN, plural, rate, stamp, time } from "./format.js";
import { choose, menu } from "./palette.js";
import { prefs, set as setPrefs } from "./prefs.js";
import { toRow } from "./row.js";
import { query } from "./state.js";
import { Store } from "./store.js";
import { Table } from "./table.js";

const first = 400; // rows for the first look
const page = 1000; // rows of history for each reach back
const rangeMost = 50_000;
const spans = [[300_000, "5 min"], [900_000, "15 min"], [3_600_000, "1 h"], [6 * 3_600_000, "6 h"]];
const narrow = 700; // pixels: below, a row of the list has three lines
const kinds = { kind: "event,gap" };

export class Events {
  constructor(app) {
    this.app = app;
    this.store = new Store();
    this.range = null; // a Store of its own while a range is shown
    this.buckets = new Buckets();
    this.rangeBuckets = null;
    this.gaps = [];
    this.resyncs = []; // {t, n}: moments at which a comparison found something
    this.breaks = []; // {kind, from, to}: this page's connection lost, the fabric's session down; to is 0 while it lasts
    this.version = 0; // of how rows are drawn
    this.generation = 0; // of what is loaded
    this.connection = { state: "connecting" };
    this.pauseCause = "";
    this.selected = 0; // id
    this.rates = [];
    this.needle = "";
    this.loadedKey = null; // what the live list holds
    this.#build();
    this.feed = new Feed({
      rows: (rows) => this.#arrived(rows),
      state: (s) => this.#connection(s),
      status: (s) => app.status(s),
      refused: (p) => { this.connection = { state: "refused", reason: p.detail }; this.#strip(); },
    });
    setInterval(() => this.#tick(), 1000);
  }

  // ---- The parts of the view

  #build() {
    this.bar = new FilterBar($("filterbar"), {
      label: "Filter events", placeholder: "Filter, or words to search for", sign: icon("filter"), vocabulary: this.app.vocabulary,
      apply: (text) => this.app.go({ filter: text, event: this.selected }, { check: true }),
    });
    fill($("filter-tools"),
      this.presetsButton = button({ icon: "star", text: "Views", key: "p", "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => this.presets() }),
      button({ icon: "search", label: "Find in the rows", key: "f", onclick: () => this.find() }),
      this.columnsButton = button({ icon: "columns", label: "Columns", key: "v", "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => this.columnsMenu() }),
      this.exportButton = button({ icon: "export", label: "Export what is filtered", key: "e", "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => this.export() }),
      button({ icon: "clear", label: "Clear the list", key: "c", onclick: () => this.clear() }));

    this.pauseButton = button({ icon: "pause", label: "Pause", key: "Space", class: "pause", onclick: () => this.togglePause() });
    this.stateText = h("span", { class: "live-state" });
    this.resumeButton = h("button", { type: "button", class: "resume", hidden: true, onclick: () => this.range ? this.backLive() : this.resume() });
    this.hover = h("span", { class: "hover-text" });
    this.legend = h("span", { class: "legend" });
    this.byButton = h("button", { type: "button", class: "quiet", title: "Colours of the histogram", onclick: () => { setPrefs({ by: prefs.by === "status" ? "severity" : "status" }); this.#histogram(); } });
    this.spanSelect = h("select", { "aria-label": "Span of the histogram", title: "Span of the histogram", onchange: (e) => { setPrefs({ span: Number(e.target.value) }); this.#reachSpan(); this.#histogram(); } },
      spans.map(([ms, label]) => h("option", { value: ms, selected: ms === prefs.span }, label)));
    this.spanSelect.value = String(prefs.span);
    const histo = h("div", { class: "histo", id: "histogram" });
    this.findBar = h("div", { class: "findbar", role: "search", hidden: true });
    fill($("strip"), h("div", { class: "strip-line" }, this.pauseButton, this.stateText, this.resumeButton, h("span", { class: "push" }), this.hover, this.legend, this.byButton, this.spanSelect), histo, this.findBar);
    this.chart = new Chart(histo, {
      range: (from, to) => this.openRange(from, to),
      hover: (text, say) => { this.hover.textContent = text; this.legend.hidden = text !== ""; if (say) announce(text); },
    });

    const pane = $("events-pane");
    this.grid = h("div", { class: "grid", id: "events-grid" });
    this.foot = h("div", { class: "foot" });
    this.empty = h("div", { class: "empty", hidden: true });
    this.tools = h("div", { class: "cell-tools", hidden: true }, button({ icon: "plus", label: "Only this" }), button({ icon: "minus", label: "Not this" }));
    fill(pane, this.grid, this.empty, this.foot, this.tools);
    this.table = new Table(this.grid, {
      label: "Events, newest last",
      count: () => this.list.length,
      rowHeight: () => this.compact ? 62 : 26,
      draw: (el, i) => this.#drawRow(el, i),
      onSelect: (i, e) => this.#clicked(i, e),
      onOpen: (i) => this.open(this.list.at(i)),
      onScroll: (s) => this.#scrolled(s),
    });
    this.head = adjustable(this.table.head, {
      ids: () => this.columnList.map((c) => c.id),
      resize: (id, pixels, done) => this.#width(id, pixels, done),
      reset: (id) => this.#width(id, 0, true),
      move: (id, to) => this.#move(id, to),
    });
    this.#columns();
    new ResizeObserver(() => this.#resized()).observe(pane);
    this.#cellTools();
    this.detail = new Detail($("detail"), {
      app: this.app,
      close: () => this.closeDetail(),
      step: (by) => this.step(by),
      context: (t) => this.context(t),
      open: (id) => this.openId(id),
      filter: (condition, out) => this.filterBy(condition, out),
    });
  }

  get list() { return this.range ?? this.store; }

  // ---- Loading

  // show brings the view to the state of the URL. The answer is a Problem when the
  // filter is refused; what was shown then stays.
  async show(state, { check = false } = {}) {
    const generation = ++this.generation;
    const stillMe = () => generation === this.generation;
    this.bar.selectors(state.selectors, (i) => this.app.go({ selectors: state.selectors.filter((_, k) => k !== i) }));
    const key = String(query(state, { since: state.until ? "" : state.since }));
    try {
      if (state.until) {
        await this.#loadRange(state, stillMe);
      } else {
        if (this.range) this.#leaveRange();
        if (this.loadedKey !== key) await this.#loadLive(state, key, stillMe);
      }
    } catch (e) {
      if (e.name === "AbortError" || !stillMe()) return null;
      if (check && e.status === 400) return e;
      this.bar.set(state.filter);
      if (e.status === 400) this.bar.fail(e);
      this.#trouble(e, state);
      return e instanceof Problem ? e : null;
    }
    if (!stillMe()) return null;
    this.state = state;
    this.key = key;
    this.bar.set(state.filter);
    if (state.find !== this.needle) this.find(state.find, false);
    this.#empty();
    this.#strip();
    if (state.event) await this.openId(state.event, { quiet: true });
    else if (this.selected) this.closeDetail(true);
    return null;
  }

  async #loadLive(state, key, stillMe) {
    const bare = String(query(state)) === "";
    const newest = bare ? null : (await get("/events", new URLSearchParams({ order: "desc", limit: "1", ...kinds }))).events[0]?.id ?? 0;
    const limit = state.since ? 5000 : first;
    const params = query(state, { order: "desc", limit, ...kinds, since: state.since, until: newest || "" });
    const answer = newest === 0 ? { events: [] } : await entries(params, limit);
    if (!stillMe()) return;
    const rows = answer.events.reverse().map((e) => toRow(JSON.stringify(e), e));
    this.store.reset(rows, { older: Boolean(answer.next) });
    this.loadedKey = key;
    this.followed = state;
    this.buckets = new Buckets();
    this.gaps = [];
    this.resyncs = [];
    this.countedFrom = Infinity;
    this.#count(rows, this.buckets);
    this.countedFrom = rows[0]?.id ?? Infinity;
    this.knownSince = this.store.hasOlder ? rows[0]?.t ?? 0 : 0;
    this.pauseCause = "";
    this.selected = 0;
    this.table.selected = -1;
    this.#seed(rows);
    this.feed.start(query(state), bare ? rows.at(-1)?.id ?? "" : newest || "");
    this.connection = { state: "connecting" };
    this.table.changed();
    this.table.toEnd();
    this.#histogram();
    this.#reachSpan();
  }

  // #seed tells the stream which severity the faults have that it will hear of.
  #seed(rows) {
    const known = new Map();
    for (const r of rows) if (r.sev && r.kind === "event") known.set(r.dn, r.sev);
    if (known.size > 0) this.feed.knows([...known]);
    if (this.seeded) return;
    this.seeded = true;
    get("/objects/faultInst", new URLSearchParams({ limit: "5000" })).then((a) => {
      this.feed.knows(a.objects.map((o) => [o.dn, o.attributes.severity]).filter(([, s]) => s));
    }).catch(() => { /* faults are not subscribed */ });
  }

  // #reachSpan loads what the span of the histogram needs, up to one large page.
  async #reachSpan() {
    const state = this.followed, key = this.loadedKey;
    if (!this.store.hasOlder || this.reaching || this.store.length === 0 || this.store.rows[0].t < now() - prefs.span) return;
    if (this.store.length > 20_000) return;
    this.reaching = true;
    try {
      const from = now() - prefs.span;
      // In pieces, so that no frame is late.
      for (let read = 0, more = true; more && read < 10_000;) {
        const { events, next } = await entries(query(state, { order: "desc", limit: 1000, ...kinds, until: this.store.rows[0].id - 1, since: new Date(from).toISOString() }), 1000);
        if (key !== this.loadedKey || this.store.length === 0) return;
        this.#prependLive(events.reverse().map((e) => toRow(JSON.stringify(e), e)));
        read += events.length;
        more = Boolean(next);
        this.knownSince = more ? this.store.rows[0].t : Math.min(from, this.knownSince || Infinity);
      }
    } catch { /* the histogram says since when it knows */ } finally { this.reaching = false; }
    this.#histogram();
    this.#footer();
  }

  #prependLive(rows) {
    if (rows.length === 0) return;
    this.store.prepend(rows);
    this.#count(rows.filter((r) => r.id < this.countedFrom), this.buckets);
    this.countedFrom = Math.min(this.countedFrom, rows[0].id);
    if (!this.range) {
      this.table.changed();
      this.table.shift(rows.length);
      this.table.changed();
    }
  }

  // #older reaches back beyond the rows that are held.
  async #older() {
    const store = this.store, key = this.loadedKey;
    if (this.range || this.reaching || !store.hasOlder || store.length === 0 || this.connection.state === "refused") return;
    this.reaching = true;
    this.#footer("Reading history …");
    try {
      const { events, next } = await entries(query(this.followed, { order: "desc", limit: page, ...kinds, until: store.rows[0].id - 1, since: this.followed.since }), page);
      if (key !== this.loadedKey) return;
      store.hasOlder = Boolean(next);
      const rows = events.reverse().map((e) => toRow(JSON.stringify(e), e));
      this.#prependLive(rows);
      if (rows.length > 0) this.knownSince = Math.min(this.knownSince || Infinity, rows[0].t);
      if (!store.hasOlder) this.knownSince = 0;
    } catch (e) {
      if (e.status === 410) store.hasOlder = false;
      else toast(`History could not be read: ${e.message}`, "bad");
    } finally {
      this.reaching = false;
      this.#footer();
    }
  }

  async #loadRange(state, stillMe) {
    const range = new Store(Infinity);
    range.reset([], { older: false });
    let call = `/events?${query(state, { since: state.since, until: state.until, limit: 5000, ...kinds })}`;
    let shown = false;
    range.loading = true;
    while (call) {
      const answer = await get(call);
      if (!stillMe()) return;
      const rows = answer.events.map((e) => toRow(JSON.stringify(e), e));
      for (const r of rows) range.rows.push(r);
      if (!shown) {
        shown = true;
        if (!this.range) this.liveScroll = this.grid.scrollTop;
        this.selected = 0;
        this.table.selected = -1;
      }
      this.range = range;
      this.state = state;
      call = answer.next ? local(answer.next) : "";
      if (range.length >= rangeMost && call) {
        range.rows.push({ id: range.rows.at(-1).id, t: range.rows.at(-1).t, kind: "note", text: `The range goes on: its first ${count(range.length)} entries are shown. Choose a shorter one, or filter.` });
        call = "";
      }
      this.table.changed();
      this.#strip();
    }
    range.loading = false;
    const from = bound(state.since) ?? range.rows[0]?.t ?? now() - 60_000;
    const to = bound(state.until) ?? range.rows.at(-1)?.t ?? now();
    range.from = from;
    range.to = Math.max(to, from + 1000);
    this.rangeBuckets = new Buckets(stepFor(range.to - range.from, 1500), 50_000);
    this.rangeGaps = [];
    this.rangeResyncs = [];
    this.#count(range.rows, this.rangeBuckets, this.rangeGaps, this.rangeResyncs);
    // A gap is told when it ends, which can be after the range.
    get("/events", query({ ...state, filter: "" }, { kind: "gap", since: new Date(range.to).toISOString(), limit: 20 })).then(({ events }) => {
      if (this.range !== range) return;
      this.#count(events.map((e) => toRow(JSON.stringify(e), e)), this.rangeBuckets, this.rangeGaps, this.rangeResyncs);
      this.#histogram();
    }).catch(() => { /* those in the range are drawn */ });
    this.table.changed();
    if (!state.event) this.grid.scrollTop = 0;
    this.#histogram();
  }

  #leaveRange() {
    this.range = null;
    this.rangeBuckets = null;
    this.selected = 0;
    this.table.selected = -1;
    if (this.pauseCause === "") this.store.resume();
    this.table.changed();
    if (this.pauseCause) this.grid.scrollTop = this.liveScroll ?? 0;
    else this.table.toEnd();
    this.#histogram();
  }

  #count(rows, buckets, gaps = this.gaps, resyncs = this.resyncs) {
    for (const r of rows) {
      if (r.kind === "event") {
        buckets.add(r.t, r.st, r.sev);
        if (r.org !== "resync") continue;
        const same = resyncs.findLast((x) => Math.abs(x.t - r.t) < 2000);
        if (same) same.n++;
        else resyncs.push({ t: r.t, n: 1 });
      } else if (r.kind === "gap") {
        const g = JSON.parse(r.raw);
        const from = time(g.from), to = time(g.to) || r.t;
        if (from) gaps.push({ from, to });
      }
    }
    for (const list of [gaps, resyncs]) if (list.length > 500) list.splice(0, list.length - 500);
  }

  #trouble(e, state) {
    if (this.loadedKey === null) this.connection = { state: "waiting", reason: e.message };
    if (e.status === 410) {
      toast(`${e.message}`, "bad");
      this.app.go({ since: "earliest" });
      return;
    }
    this.#strip();
    this.#empty(e.status === 400 ? null : e);
    if (e.status !== 400) {
      clearTimeout(this.again);
      this.again = setTimeout(() => { if (this.app.state === state) this.show(state); }, 3000);
    }
  }

  // ---- Live

  #arrived(rows) {
    let events = 0;
    for (const r of rows) {
      if (r.kind === "event") {
        events++;
        this.app.vocabulary.saw(r);
      }
    }
    this.#count(rows, this.buckets);
    if (this.countedFrom === Infinity) this.countedFrom = rows[0].id;
    const second = Math.floor(performance.now() / 1000);
    if (this.rates.at(-1)?.[0] === second) this.rates.at(-1)[1] += events;
    else this.rates.push([second, events]);
    while (this.rates.length > 8) this.rates.shift();
    this.lastArrived = now();
    this.newestTime = rows.at(-1).t;
    const hidden = this.range !== null;
    if (hidden && !this.store.paused) this.store.pause();
    const trimmed = this.store.push(rows);
    if (trimmed > 0 && this.table.selected >= 0 && !hidden) this.table.selected -= trimmed;
    this.app.saw(rows);
    this.#later();
  }

  // #later draws at most ten times a second: faster than anyone reads, and
  // each time little enough to fit a frame.
  #later() {
    if (this.drawing) return;
    this.drawing = true;
    const wait = Math.max(0, 100 - (performance.now() - (this.drawnAt ?? -1000)));
    const draw = () => requestAnimationFrame((t) => {
      this.drawing = false;
      this.drawnAt = performance.now();
      if (!this.range && !this.store.paused) {
        this.table.changed();
        this.table.toEnd();
      }
      if (t - (this.stripAt ?? 0) > 250) {
        this.stripAt = t;
        this.#strip();
        this.#empty();
        this.#footer();
      }
      if (t - (this.histogramAt ?? 0) > 900) {
        this.histogramAt = t;
        this.#histogram();
      }
    });
    if (wait > 16) setTimeout(draw, wait - 8);
    else draw();
  }

  #tick() {
    if (this.app.state?.view !== "events" || document.hidden) return;
    this.#strip();
    this.#footer();
    this.#empty();
    if (!this.range && performance.now() - (this.histogramAt ?? 0) > 900) this.#histogram();
  }

  get rate() {
    const second = Math.floor(performance.now() / 1000);
    let sum = 0;
    for (const [s, n] of this.rates) if (s >= second - 5 && s < second) sum += n;
    return sum / Math.min(5, Math.max(1, second - (this.since ??= second)));
  }

  #connection(s) {
    const before = this.connection;
    if (s.state === "open" && this.lostAt && this.store.length > 0) {
      this.note(`The connection to acitap is back after ${duration(now() - this.lostAt)}. The stream goes on where it stopped: what happened meanwhile follows, and nothing is missing.`);
    }
    if (s.state === "open") {
      this.lostAt = 0;
      this.#mended("lost");
    } else if (s.state === "waiting" && before.state === "open") {
      this.lostAt = now();
      this.#broken("lost");
      this.note(`The connection to acitap was lost: ${s.reason}. The page tries again; what happens meanwhile will follow.`, true);
    }
    this.connection = s;
    if (before.state !== s.state && s.state !== "open") announce(`Connection: ${s.reason ?? s.state}`);
    if (s.state === "open" && before.state === "waiting") announce("Connected again");
    this.#strip();
    this.#empty();
  }

  // sessions hears how the sessions with the fabrics are.
  sessions(list) {
    if (list.some((f) => f.state === "backoff" || f.state === "failed")) this.#broken("down");
    else if (list.every((f) => f.state === "connected")) this.#mended("down");
  }

  #broken(kind) {
    if (this.breaks.some((b) => b.kind === kind && b.to === 0)) return;
    this.breaks.push({ kind, from: now(), to: 0 });
    if (this.breaks.length > 200) this.breaks.shift();
    this.#histogram();
  }

  #mended(kind) {
    const b = this.breaks.find((x) => x.kind === kind && x.to === 0);
    if (!b) return;
    b.to = now();
    this.#histogram();
  }

  // note puts a row of our own into the list: what happened to the connection.
  note(text, bad = false) {
    if (this.loadedKey === null) return;
    const last = this.store.waiting.at(-1) ?? this.store.rows.at(-1);
    this.store.push([{ id: last?.id ?? 0, t: now(), kind: "note", text, bad }]);
    this.#later();
  }

  #scrolled({ up, end, top }) {
    this.tools.hidden = true;
    if (this.range) return;
    if (up && !end && !this.store.paused) this.pause("scroll");
    else if (!up && end && this.store.paused && this.pauseCause === "scroll") this.resume();
    if (top < this.table.rowHeight * 60) this.#older();
  }

  pause(cause) {
    if (this.store.paused) return;
    this.store.pause();
    this.pauseCause = cause;
    announce("Paused");
    this.#strip();
  }

  resume() {
    this.pauseCause = "";
    this.store.resume();
    if (this.selected) {
      const i = this.list.indexOf(this.selected);
      this.table.selected = i;
    }
    this.table.changed();
    this.table.toEnd();
    announce("Live");
    this.#strip();
    this.#footer();
    this.#empty();
  }

  togglePause() {
    if (this.range) this.backLive();
    else if (this.store.paused) this.resume();
    else this.pause("button");
  }

  newest() {
    if (this.range) this.table.toEnd();
    else this.resume();
  }

  clear() {
    if (this.range) return this.backLive();
    this.store.clear();
    this.pauseCause = "";
    this.closeDetail(true);
    this.table.changed();
    this.cleared = true;
    announce("Cleared");
    this.#strip();
    this.#empty();
    this.#footer();
  }

  // ---- The strip above the list

  #strip() {
    const { store, range } = this;
    const s = this.stateText;
    const waiting = store.waiting.length + store.skipped;
    const lag = this.newestTime && this.lastArrived && now() - this.lastArrived < 3000 ? this.lastArrived - this.newestTime : 0;
    let cls = "live", parts;
    if (range) {
      cls = "range";
      parts = [h("b", {}, "Range"), ` ${this.#rangeText()} · `, range.loading ? `${count(range.length)} read …` : plural(range.length, "entry", "entries")];
    } else if (this.connection.state === "refused") {
      cls = "bad";
      parts = [h("b", {}, "Stopped"), ` ${this.connection.reason}`];
    } else if (this.connection.state === "waiting" || this.connection.state === "broken") {
      cls = "bad";
      const next = this.connection.retryAt ? Math.max(0, Math.round((this.connection.retryAt - Date.now()) / 1000)) : 0;
      parts = [h("b", {}, "Not connected"), ` ${this.connection.reason}${next > 0 ? `; next try in ${next} s` : ""}`];
    } else if (store.paused) {
      cls = "paused";
      parts = [h("b", {}, "Paused"), this.pauseCause === "select" ? " while you read" : "", ` · ${rate(this.rate)}`];
    } else if (this.connection.state === "connecting") {
      cls = "wait";
      parts = [h("b", {}, "Connecting")];
    } else {
      const late = lag > 10_000 ? `, ${duration(lag)} behind` : "";
      parts = [h("b", {}, "Live"), ` ${rate(this.rate)}${late}`];
    }
    s.className = `live-state ${cls}`;
    fill(s, parts);
    const paused = store.paused || range;
    if (this.pauseButton.paused !== paused) {
      this.pauseButton.paused = paused;
      fill(this.pauseButton, icon(paused ? "play" : "pause"));
      this.pauseButton.title = `${paused ? "Resume" : "Pause"} (Space)`;
      this.pauseButton.setAttribute("aria-label", paused ? "Resume" : "Pause");
    }
    this.resumeButton.hidden = !paused;
    const label = range ? `Back to live${waiting ? ` · ${count(waiting)} new` : ""}` : waiting ? `${count(waiting)} waiting · show` : "Resume";
    if (this.resumeButton.textContent !== label) this.resumeButton.textContent = label;
    this.spanSelect.hidden = Boolean(range);
    const by = `By ${prefs.by}`;
    if (this.byButton.textContent !== by) this.byButton.textContent = by;
  }

  #rangeText() {
    const { since, until } = this.state;
    const a = bound(since), b = bound(until);
    const show = (t, word) => t ? `${day(t, prefs.utc) === day(now(), prefs.utc) ? "" : day(t, prefs.utc) + " "}${clock(t, prefs.utc, false)}` : word || "earliest";
    return `${show(a, since)} – ${show(b, until)}`;
  }

  #histogram() {
    if (this.app.state && this.app.state.view !== "events") return;
    let from, to, buckets, gaps, known, resyncs = this.resyncs;
    if (this.range) {
      resyncs = this.rangeResyncs;
      ({ from, to } = this.range);
      if (!from) return;
      [buckets, gaps, known] = [this.rangeBuckets, this.rangeGaps, 0];
    } else {
      to = now();
      from = to - prefs.span;
      [buckets, gaps, known] = [this.buckets, this.gaps, this.knownSince ?? 0];
    }
    const breaks = this.breaks.map((b) => ({ ...b, to: b.to || now() }));
    const lost = (kind) => breaks.some((b) => b.kind === kind && b.to >= from && b.from <= to);
    const step = stepFor(to - from, Math.max(40, Math.min(this.chart.el.clientWidth / 7, 240)));
    const parts = this.chart.show(buckets.series(from, to, step, prefs.by), { from, to, gaps, known, utc: prefs.utc, by: prefs.by, breaks, resyncs });
    const shown = prefs.by === "status" ? ["created", "modified", "deleted"] : ["critical", "major", "minor", "warning", "info", "cleared", "none"];
    const counts = new Map(parts);
    fill(this.legend, shown.filter((n) => prefs.by === "status" || counts.has(n)).map((n) => h("span", { class: `key k-${n}` }, n === "none" ? "no severity" : n, " ", h("b", {}, count(counts.get(n) ?? 0)))),
      gaps.some((g) => g.to >= from && g.from <= to) ? h("span", { class: "key k-gap" }, "gap") : null,
      resyncs.some((r) => r.t >= from && r.t <= to) ? h("span", { class: "key k-resync", title: "Found by comparing after an outage" }, "resync") : null,
      lost("lost") ? h("span", { class: "key k-lost", title: "acitap did not answer this page; what happened meanwhile was read afterwards" }, "page not connected") : null,
      lost("down") ? h("span", { class: "key k-down", title: "acitap had no session with the fabric" }, "no session") : null,
      known > from ? h("span", { class: "key k-unknown", title: `Earlier events are in history; they are counted from ${clock(known, prefs.utc, false)} on` }, "not counted") : null);
  }

  // ---- The list

  // #resized chooses between a table and rows of three lines, and keeps the row
  // that is read in place.
  #resized() {
    const compact = $("events-pane").clientWidth < narrow;
    if (compact === Boolean(this.compact)) return;
    const at = this.grid.scrollTop / this.table.rowHeight;
    this.compact = compact;
    this.#columns();
    this.table.changed();
    if (!this.range && !this.store.paused) this.table.toEnd();
    else this.grid.scrollTop = at * this.table.rowHeight;
    if (this.table.selected >= 0) this.table.reveal(this.table.selected);
  }

  #columns() {
    this.columnList = this.compact ? chosen(["time", "status", "class", "dn", "what"]) : chosen(prefs.columns);
    this.inlineSeverity = !this.columnList.some((c) => c.id === "severity");
    this.grid.classList.toggle("compact", Boolean(this.compact));
    this.table.columns(this.columnList.map((c) => width(c, this.compact ? {} : prefs.widths)).join(" "), this.columnList.map((c) => ({
      label: c.id === "time" ? `Time ${prefs.utc ? "UTC" : "local"}` : c.label, cls: c.attribute ? "attribute" : c.id,
    })));
    if (!this.compact) this.head.grips();
    this.version++;
  }

  redraw() {
    this.#columns();
    this.table.changed();
    if (!this.store.paused && !this.range) this.table.toEnd();
    this.chart.utc = prefs.utc;
    this.#histogram();
    this.#strip();
    this.#footer();
    if (this.selected && !$("detail").hidden) this.detail.redraw();
  }

  #drawRow(el, i) {
    const r = this.list.at(i);
    if (el.entry === r && el.version === this.version) return;
    if (el.columns !== this.columnList) {
      el.columns = this.columnList;
      el.replaceChildren(...this.columnList.map((c) => h("div", { class: `cell c-${c.attribute ? "attribute" : c.id}`, role: "gridcell" })));
      el.kind = "";
    }
    el.entry = r;
    el.version = this.version;
    const cls = r.kind === "event" ? `row k-event o-${r.org}` : `row k-${r.kind}${r.bad ? " bad" : ""}`;
    if (el.kind !== cls) {
      el.kind = cls;
      el.className = cls + (el.selected ? " selected" : "");
    }
    if (r.kind !== "event") return this.#drawNote(el, r);
    for (let c = 0; c < this.columnList.length; c++) this.#drawCell(el.children[c], this.columnList[c], r);
    if (el.span) { el.span.remove(); el.span = null; }
  }

  #drawNote(el, r) {
    for (const c of el.children) if (c !== el.span) c.textContent = "";
    if (el.span && !el.contains(el.span)) el.span = null;
    el.span ??= el.appendChild(h("div", { class: "span", role: "gridcell" }));
    const at = this.columnList[0].id === "time" ? el.firstChild : null;
    if (at) at.textContent = clock(r.t, prefs.utc);
    let text;
    if (r.kind === "gap") text = gapText(JSON.parse(r.raw), prefs.utc);
    else if (r.kind === "left-out") text = `${count(r.n)} events came while the list was paused and found no room here. Press Enter or click to read them from history.`;
    else text = r.text;
    el.span.textContent = clean(text);
    el.span.title = text;
  }

  #drawCell(cell, column, r) {
    const needle = this.needle;
    let text;
    switch (column.id) {
      case "time": text = clock(r.t, prefs.utc); cell.title = ""; break;
      case "status": text = r.st; cell.className = `cell c-status st ${known(r.st)}`; break;
      case "severity": text = r.sev; cell.className = `cell c-severity sev ${known(r.sev)}`; break;
      case "class": text = r.cls; break;
      case "tenant": text = r.ten; break;
      case "node": text = r.node; break;
      case "origin": text = r.org; break;
      case "fabric": text = r.fab; break;
      case "id": text = String(r.id); break;
      case "dn": return this.#drawDN(cell, r.dn);
      case "what": return this.#drawWhat(cell, r);
      default: {
        r.all ??= JSON.parse(r.raw);
        const v = r.all.attributes?.[column.attribute];
        text = v ?? "";
      }
    }
    text = clean(text);
    if (needle) {
      cell.textContent = "";
      mark(cell, text, needle);
    } else if (cell.firstChild?.nodeType !== 3 || cell.childNodes.length !== 1 || cell.firstChild.data !== text) cell.textContent = text;
  }

  #drawDN(cell, dn) {
    let up = cell.up;
    if (!up || up.parentNode !== cell) {
      up = cell.up = h("span", { class: "up" });
      cell.rn = h("span", { class: "rn" });
      cell.replaceChildren(up, cell.rn);
      cell.dir = "ltr";
    }
    const parent = parentDN(dn);
    const a = clean(parent ? parent + "/" : ""), b = clean(parent ? dn.slice(parent.length + 1) : dn);
    if (this.needle) {
      up.textContent = cell.rn.textContent = "";
      mark(up, a, this.needle);
      mark(cell.rn, b, this.needle);
    } else {
      if (up.textContent !== a) up.textContent = a;
      if (cell.rn.textContent !== b) cell.rn.textContent = b;
    }
    cell.title = clean(dn);
  }

  #drawWhat(cell, r) {
    cell.textContent = "";
    if (r.sev && this.inlineSeverity && r.cls.startsWith("fault") && !(r.chg && r.chg[0][0] === "severity")) {
      const sev = span(`sev lead ${known(r.sev)}`);
      mark(sev, clean(r.sev), this.needle);
      cell.append(sev, " ");
    }
    if (!r.chg) {
      if (r.org === "resync" || r.st === "deleted") cell.append(h("span", { class: "attr" }, r.st === "deleted" ? r.org === "resync" ? "gone, found after an outage " : "gone " : "found after an outage "));
      mark(cell, clean(r.gist), this.needle);
      cell.title = clean(r.gist);
      return;
    }
    let title = "";
    for (let i = 0; i < r.chg.length && i < 4; i++) {
      const [n, a, b] = r.chg[i];
      const name = clean(n), old = a === "" ? '""' : clean(a), fresh = b === "" ? '""' : clean(b);
      const c = span("chg");
      const attr = span("attr"), o = span(a === "" ? "old nothing" : "old"), w = span(n === "severity" ? `new sev ${known(b)}` : "new");
      mark(attr, name, this.needle);
      mark(o, old, this.needle);
      mark(w, fresh, this.needle);
      c.append(attr, " ", o, " → ", w);
      cell.append(c);
      title += `${name}: ${old} → ${fresh}\n`;
    }
    const more = r.more + Math.max(r.chg.length - 4, 0);
    if (more > 0) cell.append(h("span", { class: "attr" }, `+${more} more`));
    cell.title = title;
  }

  #footer(text) {
    const { list } = this;
    if (list.length === 0) {
      this.foot.textContent = text ?? "";
      return;
    }
    const oldest = list.rows[0].t;
    const from = `${day(oldest, prefs.utc) === day(now(), prefs.utc) ? "" : day(oldest, prefs.utc) + " "}${clock(oldest, prefs.utc, false)}`;
    let say = `${plural(list.length, "row")} from ${from}`;
    if (!this.range) {
      if (this.store.trimmed > 0) say += ` · ${count(this.store.trimmed)} older ones are left out here and in history`;
      say += this.store.hasOlder ? " · scroll up for older ones" : " · this is the beginning of the log";
    }
    if (this.cleared && !this.range && this.store.hasOlder && this.store.trimmed === 0) say = `${plural(list.length, "row")} since you cleared · scroll up for older ones`;
    const want = text ?? say;
    if (this.foot.textContent !== want) this.foot.textContent = want;
  }

  #empty(problem) {
    const none = this.list.length === 0 && !(this.range?.loading);
    this.empty.hidden = !none && !problem;
    this.grid.classList.toggle("void", none);
    if (this.empty.hidden) return;
    const state = this.app.state ?? {};
    let title, text, actions = [];
    if (problem) {
      [title, text] = ["The events could not be read", problem.message];
      actions = [button({ text: "Try again", class: "", onclick: () => this.show(this.app.state) })];
    } else if (this.loadedKey === null && !this.range) {
      [title, text] = ["Loading", ""];
    } else if (this.range) {
      [title, text] = ["Nothing happened in this range", state.filter || state.selectors.length > 0 ? "At least nothing that the filter lets through." : "No event and no gap is logged for it."];
      actions = [button({ text: "Back to live", class: "", onclick: () => this.backLive() })];
    } else if (state.filter || state.selectors?.length > 0) {
      [title, text] = ["No event matches yet", "The log has none that the filter lets through. New ones will appear here."];
      actions = [button({ text: "Take the filter away", class: "", onclick: () => this.app.go({ filter: "", selectors: [], event: 0 }) })];
    } else if (this.cleared) {
      [title, text] = ["Cleared", "New events will appear here. Those before are in history: scroll up once there are rows, or reload."];
    } else if (this.app.subscriptions?.length === 0) {
      [title, text] = ["Nothing is subscribed yet", "acitap tells what happens to the classes that it has subscribed. Faults (faultInst) and the audit log (aaaModLR) are a good beginning."];
      actions = [button({ text: "Add a subscription", class: "primary", onclick: () => this.app.go({ view: "subscriptions" }) })];
    } else {
      [title, text] = ["No events yet", "What is subscribed is quiet. The next change will appear here at once."];
      actions = [button({ text: "What is subscribed", class: "", onclick: () => this.app.go({ view: "subscriptions" }) })];
    }
    const key = title + text;
    if (this.empty.key === key) return;
    this.empty.key = key;
    fill(this.empty, h("h2", {}, title), h("p", {}, text), actions.length > 0 ? h("p", { class: "actions" }, actions) : null);
  }

  // ---- Filtering by what one sees

  condition(column, r) {
    const is = (name, value) => value ? `${name} == ${quote(value)}` : "";
    switch (column) {
      case "status": return is("status", r.st);
      case "severity": return is("object.severity", r.sev);
      case "class": return is("class", r.cls);
      case "tenant": return is("tenant", r.ten);
      case "node": return is("node", r.node);
      case "origin": return is("origin", r.org);
      case "fabric": return is("fabric", r.fab);
      case "dn": return is("dn", r.dn);
      default: {
        if (!column.startsWith("attr:")) return "";
        r.all ??= JSON.parse(r.raw);
        return is(attribute(column.slice(5)), r.all.attributes?.[column.slice(5)]);
      }
    }
  }

  filterBy(condition, out = false) {
    const text = this.app.state.filter;
    this.app.go({ filter: out ? exclude(text, condition) : add(text, condition), event: this.selected });
  }

  // filterMenu offers the values of the selected row.
  filterMenu(out) {
    const r = this.selectedRow();
    if (!r) return toast("Select an event first: j and k move through the list.");
    const list = ["class", "status", "severity", "tenant", "node", "dn", "origin", "fabric"].map((c) => [c, this.condition(c, r)]).filter(([, x]) => x);
    const changes = JSON.parse(r.raw).changes ?? {};
    for (const [n, b] of Object.entries(changes).map(([name, c]) => [name, c.new])) list.push(["changed", `${quote(n)} in changes`], ["new value", `changes${/^\w+$/.test(n) ? "." + n : `[${quote(n)}]`}.new == ${quote(b)}`]);
    choose(out ? "No events like this one" : "Only events like this one", list.map(([group, c]) => ({ group, label: out ? exclude("", c) : c, run: () => this.filterBy(c, out) })));
  }

  #cellTools() {
    const [plus, minus] = this.tools.children;
    let over = null;
    const hide = () => { this.tools.hidden = true; over = null; };
    this.grid.addEventListener("pointerover", (e) => {
      if (e.pointerType !== "mouse") return;
      const cell = e.target.closest(".rows .cell");
      if (!cell || cell === over?.cell) return;
      const row = cell.parentNode, column = this.columnList[[...row.children].indexOf(cell)];
      const condition = column && row.entry?.kind === "event" ? this.condition(column.id, row.entry) : "";
      if (!condition) return hide();
      over = { cell, condition };
      const r = cell.getBoundingClientRect(), p = $("events-pane").getBoundingClientRect();
      this.tools.style.left = `${Math.min(r.right - p.left - 42, p.width - 46)}px`;
      this.tools.style.top = `${r.top - p.top + (r.height - 22) / 2}px`;
      this.tools.hidden = false;
      plus.title = `Only ${condition}`;
      minus.title = `Not ${condition}`;
    });
    $("events-pane").addEventListener("pointerleave", hide);
    plus.addEventListener("click", () => { if (over) this.filterBy(over.condition); hide(); });
    minus.addEventListener("click", () => { if (over) this.filterBy(over.condition, true); hide(); });
  }

  // ---- Selection and detail

  selectedRow() {
    const i = this.selected ? this.list.indexOf(this.selected) : -1;
    return i >= 0 ? this.list.at(i) : null;
  }

  #clicked(i, e) {
    if (String(getSelection()) && e.type === "click") return; // a text was marked, not a row chosen
    const r = this.list.at(i);
    if (r.kind === "left-out") return this.app.go({ since: String(r.from - 1), until: String(r.to), event: 0 });
    this.#select(i);
    if (e.type === "click" || !$("detail").hidden) this.open(r);
  }

  #select(i) {
    const r = this.list.at(i);
    if (!this.range && !this.store.paused) this.pause("select");
    this.selected = r.kind === "event" || r.kind === "gap" ? r.id : 0;
    this.table.select(i);
  }

  open(r) {
    if (!r || r.kind === "note") return;
    if (r.kind === "left-out") return this.app.go({ since: String(r.from - 1), until: String(r.to), event: 0 });
    this.selected = r.id;
    this.detail.open(JSON.parse(r.raw));
    this.app.replace({ event: r.id });
    this.#afterLayout();
  }

  // openId opens an event that need not be in the list.
  async openId(id, { quiet = false } = {}) {
    const i = this.list.indexOf(id);
    if (i >= 0) {
      const was = this.selected === id && !$("detail").hidden;
      this.#select(i);
      if (!was) {
        this.open(this.list.at(i));
        if (quiet) this.table.center(i);
      }
      return;
    }
    try {
      const entry = await get(`/events/${id}`);
      this.selected = id;
      this.table.select(-1);
      if (!this.range) this.pause("select");
      this.detail.open(entry);
      this.app.replace({ event: id });
    } catch (e) {
      toast(e.status === 404 || e.status === 410 ? `Event ${id} is not in the log (any more).` : e.message, "bad");
      this.app.replace({ event: 0 });
    }
  }

  // #afterLayout keeps the selected row in sight when the panel changes the width.
  #afterLayout() {
    requestAnimationFrame(() => {
      this.table.changed();
      if (this.table.selected >= 0) this.table.reveal(this.table.selected);
    });
  }

  step(by) {
    const i = this.table.selected >= 0 ? this.table.selected : this.list.length;
    const to = Math.min(Math.max(i + by, 0), this.list.length - 1);
    if (to >= 0 && to !== i) {
      this.#select(to);
      this.open(this.list.at(to));
    }
  }

  closeDetail(quiet = false) {
    const had = !$("detail").hidden;
    this.detail.close();
    this.selected = 0;
    this.table.select(-1, false);
    if (this.app.state?.event) this.app.replace({ event: 0 });
    if (!quiet && had) this.grid.focus({ preventScroll: true });
    if (this.pauseCause === "select" && !this.range) this.resume();
    else if (had) this.#afterLayout();
  }

  // ---- Ranges

  openRange(from, to) {
    if (!(to > from)) return;
    this.app.go({ since: new Date(Math.floor(from)).toISOString(), until: new Date(Math.ceil(to)).toISOString(), event: 0 });
  }

  context(t, id = this.selected) {
    this.app.go({ filter: "", selectors: [], find: "", since: new Date(t - 30_000).toISOString(), until: new Date(t + 30_000).toISOString(), event: id });
  }

  backLive() { this.app.go({ since: "", until: "", event: 0 }); }

  // ---- Finding in the rows

  find(text = null, focus = true) {
    if (this.findBar.hidden || !this.findInput) {
      this.findInput = h("input", { type: "text", class: "find-input", "aria-label": "Find in the rows", placeholder: "Find in the rows", spellcheck: "false", autocomplete: "off" });
      this.findCount = h("span", { class: "hint", role: "status" });
      fill(this.findBar, icon("search"), this.findInput, this.findCount,
        button({ icon: "up", label: "Hit before", key: "N", onclick: () => this.hit(-1) }), button({ icon: "down", label: "Next hit", key: "n", onclick: () => this.hit(1) }),
        button({ icon: "close", label: "Stop finding", onclick: () => this.stopFinding() }));
      this.findInput.addEventListener("input", () => { clearTimeout(this.findTimer); this.findTimer = setTimeout(() => this.#needle(this.findInput.value), 150); });
      this.findInput.addEventListener("keydown", (e) => {
        if (e.key === "Enter") { e.preventDefault(); this.#needle(this.findInput.value); this.hit(e.shiftKey ? 1 : -1); }
        if (e.key === "Escape") { e.stopPropagation(); this.stopFinding(); this.grid.focus(); }
      });
    }
    if (text === "") return this.stopFinding();
    this.findBar.hidden = false;
    if (text) this.findInput.value = text;
    if (text) this.#needle(text);
    if (focus) this.findInput.focus();
  }

  stopFinding() {
    clearTimeout(this.findTimer); // or what was typed last would be searched for after all
    this.findBar.hidden = true;
    this.#needle("");
  }

  #needle(text) {
    text = text.trim().toLowerCase();
    if (text === this.needle) return;
    this.needle = text;
    this.version++;
    this.table.draw();
    this.app.replace({ find: text });
    this.#countHits();
  }

  #matches(r) {
    if (r.kind !== "event") return false;
    const n = this.needle;
    return has(r.dn, n) || has(r.cls, n) || has(r.st, n) || has(r.sev, n) || has(r.gist, n) || (r.chg !== null && r.chg.some(([a, b, c]) => has(a, n) || has(b, n) || has(c, n)));
  }

  // #countHits counts in small pieces, so that the page stays quick.
  #countHits() {
    const job = this.counting = {};
    const { needle, list } = this;
    if (!this.findCount) return;
    if (!needle) { this.findCount.textContent = ""; return; }
    let i = 0, hits = 0;
    const piece = () => {
      if (job !== this.counting) return;
      const until = performance.now() + 6;
      while (i < list.length && performance.now() < until) {
        for (const stop = Math.min(i + 200, list.length); i < stop; i++) if (this.#matches(list.at(i))) hits++;
      }
      this.findCount.textContent = `${count(hits)}${i < list.length ? " …" : ` of ${count(list.length)}`}`;
      if (i < list.length) setTimeout(piece, 0);
    };
    piece();
  }

  hit(by) {
    if (!this.needle) return this.find();
    const { list } = this;
    let i = this.table.selected >= 0 ? this.table.selected : by < 0 ? list.length : -1;
    for (i += by; i >= 0 && i < list.length; i += by) {
      if (this.#matches(list.at(i))) {
        this.#select(i);
        this.table.center(i);
        if (!$("detail").hidden) this.open(list.at(i));
        return;
      }
    }
    toast(by < 0 ? "No hit further up in the rows that are held." : "No hit further down.");
  }

  // ---- Menus

  presets() {
    const view = (name, url, about) => ({ label: name, about, run: () => this.app.visit(url) });
    menu(this.presetsButton, "Views", [
      ...(prefs.saved.length > 0 ? [{ heading: "Saved here" }, ...prefs.saved.map((s) => view(s.name, s.url))] : []),
      { heading: "Presets" },
      ...presets.map(([name, filter]) => ({ label: name, run: () => this.app.go({ view: "events", filter, selectors: [], event: 0 }) })),
      { heading: "This view" },
      { label: "Save it …", key: "s", run: () => this.save() },
      { label: "Copy a link to it", key: "l", run: () => copy(location.href, "Link") },
      ...(prefs.saved.length > 0 ? [{ label: "Forget a saved view …", run: () => choose("Forget a saved view", prefs.saved.map((s) => ({ label: s.name, about: s.url, run: () => setPrefs({ saved: prefs.saved.filter((x) => x !== s) }) }))) }] : []),
    ]);
  }

  save() {
    choose("Save this view", prefs.saved.map((s) => ({ label: s.name, about: "replace", run: () => store(s.name) })), {
      placeholder: "A name for it",
      free: (name) => ({ label: `Save as “${name}”`, run: () => store(name) }),
    });
    const store = (name) => {
      const url = location.pathname + location.search;
      setPrefs({ saved: [...prefs.saved.filter((s) => s.name !== name), { name, url }].slice(-50) });
      toast(`Saved in this browser as “${name}”`);
    };
  }

  // columnsMenu lists the columns that are shown, in their order, then the
  // others. With Alt and the arrows a column is moved and made wider.
  columnsMenu(focus = "") {
    const now = () => this.columnIds();
    const choose1 = (ids) => {
      setPrefs({ columns: ids.length > 0 ? ids : null });
      this.#columns();
      this.table.changed();
    };
    const toggle = (id) => choose1(now().includes(id) ? now().filter((x) => x !== id) : added(now(), id));
    const name = (id) => allColumns.find((c) => c.id === id)?.label ?? id.slice(5);
    const onkey = (id) => (e) => {
      const at = now().indexOf(id);
      const by = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 }[e.key];
      if (!e.altKey || !by || at < 0) return false;
      if (e.key === "ArrowUp" || e.key === "ArrowDown") {
        const to = at + by;
        if (to < 0 || to >= now().length) return true;
        this.#move(id, to);
        announce(`${name(id)} is column ${to + 1} of ${now().length}`);
        this.columnsMenu(id);
      } else {
        const cell = this.table.head.children[at];
        const pixels = Math.max(Math.round(cell.getBoundingClientRect().width) + 16 * by, least);
        this.#width(id, pixels, true);
        announce(`${name(id)} is ${pixels} pixels wide`);
      }
      return true;
    };
    const item = (id, about) => ({ id, label: name(id), about, checked: now().includes(id), stay: true, state: () => now().includes(id), run: () => toggle(id), onkey: onkey(id) });
    const shown = now().map((id) => item(id, allColumns.find((c) => c.id === id)?.about ?? "attribute"));
    const others = allColumns.filter((c) => !now().includes(c.id)).map((c) => item(c.id, c.about));
    const list = menu(this.columnsButton, "Columns", [
      { heading: "Columns" }, ...shown, ...others,
      { label: "An attribute as a column …", run: () => choose("An attribute as a column", this.app.vocabulary.attributes().map((n) => ({ label: n, run: () => toggle(`attr:${n}`) })), { free: (n) => ({ label: n, about: "attribute", run: () => toggle(`attr:${n}`) }) }) },
      { label: "The usual ones", about: "order and widths too", run: () => { setPrefs({ widths: {} }); choose1([]); } },
      { heading: "Alt ↑ ↓ moves, Alt ← → sets the width; or drag the headings" },
    ]);
    const at = shown.findIndex((i) => i.id === focus);
    if (at >= 0) list.querySelectorAll("button[role]")[at].focus();
  }

  // #width sets the width of a column; 0 is the usual one. While one drags it is
  // not kept yet.
  #width(id, pixels, done) {
    const widths = { ...prefs.widths, [id]: pixels };
    if (!pixels) delete widths[id];
    if (done) {
      setPrefs({ widths });
      this.#columns();
      this.table.changed();
    } else this.grid.style.setProperty("--cols", this.columnList.map((c) => width(c, widths)).join(" "));
  }

  #move(id, to) {
    const ids = this.columnIds().filter((x) => x !== id);
    ids.splice(to, 0, id);
    setPrefs({ columns: ids });
    this.#columns();
    this.table.changed();
  }

  columnIds() { return prefs.columns ?? usual; }

  export() {
    const rows = this.list.rows;
    const from = rows.find((r) => r.kind === "event"), to = rows.at(-1);
    exportMenu(this.exportButton, this.app.state, this.range ? { since: this.state.since, until: this.state.until } : from ? { since: from.id - 1, until: to.id } : {}, this.list.length);
  }

  curl() {
    return this.range ? ["/events", query(this.app.state, { since: this.state.since, until: this.state.until })] : ["/events/stream", query(this.app.state, { since: this.app.state.since })];
  }
}

const has = (text, needle) => Boolean(text) && text.toLowerCase().includes(needle);

function span(cls) {
  const s = document.createElement("span");
  s.className = cls;
  return s;
}

// Only our own words become part of a class name.
const words = new Set(["created", "modified", "deleted", "critical", "major", "minor", "warning", "info", "cleared"]);
const known = (w) => words.has(w) ? w : "";

// bound reads a place as a time where it is one.
function bound(place) {
  if (!place) return null;
  if (place === "latest") return now();
  if (/^\d{4}-/.test(place)) return Date.parse(place) || null;
  const age = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(place);
  if (age) return now() - Number(age[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[age[2]];
  return null;
}

export function gapText(g, utc) {
  const list = g.classes ?? [];
  const what = list.length === 0 ? "everything" : list.length > 4 ? `${list.slice(0, 3).join(", ")} and ${list.length - 3} more` : list.join(", ");
  const from = time(g.from), to = time(g.to);
  const when = from && to ? ` from ${clock(from, utc, false)} to ${clock(to, utc, false)} (${duration(to - from)})` : "";
  const why = { retention: "the log no longer has them (retention)", "unknown-id": "the place belongs to another log" }[g.reason] ?? g.reason;
  return `Gap${when}: ${why}. Out of sight: ${what}. ${g.healed ? "The state is whole again; what came and went in between is lost." : "The state has not been made whole."}`;
}
