// The view of objects: what is true now in a class.

import { get, local } from "./api.js";
import { byClass, classes } from "./catalog.js";
import { Detail } from "./detail.js";
import { $, announce, button, clean, fill, h, icon } from "./dom.js";
import { FilterBar } from "./filterbar.js";
import { add, exclude, quote } from "./filter.js";
import { clock, count, day, parentDN, plural, time } from "./format.js";
import { phase, phases, steps } from "./lifecycle.js";
import { choose } from "./palette.js";
import { prefs } from "./prefs.js";
import { query } from "./state.js";
import { Table } from "./table.js";

const most = 10_000;
const rank = new Map(["critical", "major", "minor", "warning", "info", "cleared"].map((s, i) => [s, i]));
const words = new Set(rank.keys());
const phaseRank = new Map(phases.map((p, i) => [p, i]));
const narrow = 700;
const isTime = /^\d{4}-\d\d-\d\dT/;

export class Objects {
  constructor(app) {
    this.app = app;
    this.rows = [];
    this.generation = 0;
    this.sort = ["dn", 1];
    const el = $("view-objects");
    this.classButton = h("button", { type: "button", class: "class-button", "aria-haspopup": "dialog", onclick: () => this.chooseClass() });
    this.about = h("span", { class: "hint about-class" });
    const bar = h("div", { class: "filterbar" });
    this.summary = h("div", { class: "fault-board" });
    this.grid = h("div", { class: "grid" });
    this.empty = h("div", { class: "empty", hidden: true });
    this.foot = h("div", { class: "foot" });
    const aside = h("aside", { class: "detail", "aria-label": "Selected object", hidden: true });
    fill(el, h("div", { class: "filterrow" }, this.classButton, bar, this.about), this.summary,
      h("div", { class: "split" }, h("div", { class: "pane" }, this.grid, this.empty, this.foot), aside));
    this.bar = new FilterBar(bar, {
      label: "Filter objects", placeholder: "Filter, or words to search for", sign: icon("filter"), vocabulary: app.vocabulary,
      apply: (text) => app.go({ filter: text }, { check: true }),
    });
    this.table = new Table(this.grid, {
      label: "Objects", count: () => this.rows.length, rowHeight: () => this.compact ? 62 : 26,
      draw: (row, i) => this.#draw(row, i),
      onSelect: (i, e) => { this.table.select(i); if (e.type === "click" || !aside.hidden) this.open(i); },
      onOpen: (i) => this.open(i),
    });
    this.detail = new Detail(aside, {
      app,
      close: () => this.closeDetail(),
      context: () => {},
      open: (id) => app.go({ view: "events", event: id, filter: "", selectors: [] }),
      filter: (c, out) => app.go({ filter: out ? exclude(app.state.filter, c) : add(app.state.filter, c) }),
    });
    this.aside = aside;
    new ResizeObserver(([{ contentRect }]) => {
      const compact = contentRect.width > 0 && contentRect.width < narrow;
      if (compact === Boolean(this.compact)) return;
      this.compact = compact;
      if (this.objects) this.#arrange();
    }).observe(this.grid.parentNode);
  }

  async show(state, { check = false, quiet = false } = {}) {
    const of = state.of || this.app.subscriptions?.find((s) => s.class === "faultInst")?.class || this.app.subscriptions?.[0]?.class || "";
    const generation = ++this.generation;
    this.classButton.textContent = of || "Choose a class";
    this.about.textContent = byClass.get(of)?.about ?? "";
    if (!of) {
      this.rows = [];
      this.table.changed();
      return this.#say("Nothing is subscribed yet", "What is true now is known of the classes that are subscribed.", button({ text: "Add a subscription", class: "primary", onclick: () => this.app.go({ view: "subscriptions" }) }));
    }
    if (of !== this.of) {
      this.of = of;
      this.objects = [];
      this.rows = [];
      this.closeDetail();
      this.#sortFrom(state.sort);
      if (!quiet) this.#say("Reading …", "");
    } else if (state.sort !== this.sortText) this.#sortFrom(state.sort);
    try {
      const list = [];
      let call = `/objects/${of}?${query(state, { limit: 1000 })}`, more = false;
      while (call) {
        const a = await get(call);
        if (generation !== this.generation) return null;
        for (const o of a.objects) list.push(o);
        this.asOf = a.asOf;
        call = a.next ? local(a.next) : "";
        if (list.length >= most && call) { more = true; break; }
      }
      this.objects = list;
      this.more = more;
      if (!quiet) this.bar.set(state.filter);
    } catch (e) {
      if (generation !== this.generation) return null;
      if (e.status === 400 && check) return e;
      if (quiet) return null;
      this.bar.set(state.filter);
      if (e.status === 400) this.bar.fail(e);
      else if (e.status === 404) {
        this.objects = [];
        this.#arrange();
        this.#say(`${of} is not subscribed`, "What is true now is known of the classes that are subscribed.",
          button({ text: `Subscribe ${of}`, class: "primary", onclick: () => this.app.subscribe(of).then((ok) => { if (ok) this.show(this.app.state); }) }));
      } else this.#say("The objects could not be read", e.message, button({ text: "Try again", class: "", onclick: () => this.show(this.app.state) }));
      return e;
    }
    this.bar.selectors(state.selectors, (i) => this.app.go({ selectors: state.selectors.filter((_, k) => k !== i) }));
    this.#arrange();
    if (state.object && !quiet) {
      const i = this.rows.findIndex((o) => o.dn === state.object);
      if (i >= 0) { this.table.select(i); this.open(i); }
    }
    return null;
  }

  // saw hears of events; the list is read again when they concern its class.
  saw(rows) {
    if (!rows.some((r) => r.cls === this.of) || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      if (this.app.state.view === "objects" && !document.hidden) this.show(this.app.state, { quiet: true });
    }, this.objects?.length > 2000 ? 8000 : 1500);
  }

  columns() {
    const known = byClass.get(this.of)?.attributes;
    if (known) return known;
    // Of a class that nobody described: attributes that tell its objects apart.
    const sample = (this.objects ?? []).slice(0, 50);
    const names = new Map();
    for (const o of sample) for (const [n, v] of Object.entries(o.attributes)) if (v !== "") names.set(n, (names.get(n) ?? new Set()).add(v));
    const dull = new Set(["dn", "rn", "status", "childAction", "modTs", "lcOwn", "uid", "monPolDn", "userdom", "annotation", "extMngdBy"]);
    return [...names].filter(([n]) => !dull.has(n)).sort((a, b) => b[1].size - a[1].size).slice(0, 5).map(([n]) => n);
  }

  #sortFrom(text) {
    this.sortText = text;
    const fault = /^fault/.test(this.of);
    const name = text.replace(/^-/, "");
    this.sort = name ? [name, text.startsWith("-") ? -1 : 1] : fault ? ["severity", 1] : ["dn", 1];
  }

  #arrange() {
    const [by, way] = this.sort;
    const value = (o) => by === "dn" ? o.dn : o.attributes[by] ?? "";
    const compare = by === "severity" ? (a, b) => (rank.get(value(a)) ?? 9) - (rank.get(value(b)) ?? 9)
      : by === "lc" ? (a, b) => (phaseRank.get(phase(value(a))) ?? 9) - (phaseRank.get(phase(value(b))) ?? 9)
        : (a, b) => natural(value(a), value(b));
    const second = (a, b) => natural(b.attributes.lastTransition ?? "", a.attributes.lastTransition ?? "") || natural(a.dn, b.dn);
    const selected = this.rows[this.table.selected];
    this.rows = [...this.objects].sort((a, b) => way * compare(a, b) || second(a, b));
    this.#head();
    this.table.selected = selected ? this.rows.findIndex((o) => o.dn === selected.dn && o.fabric === selected.fabric) : -1;
    this.#board();
    this.table.changed();
    this.#foot();
    if (this.rows.length === 0) {
      const filtered = this.app.state.filter || this.app.state.selectors.length > 0;
      this.#say(filtered ? "No object matches" : `There is no ${this.of} now`, filtered ? "None of this class is let through by the filter." : /^fault/.test(this.of) ? "No fault: all is quiet." : "The fabric has none.",
        filtered ? button({ text: "Take the filter away", class: "", onclick: () => this.app.go({ filter: "", selectors: [] }) }) : null);
    } else this.#say(null);
  }

  #foot() {
    this.foot.textContent = this.rows.length === 0 ? "" : `${this.more ? `The first ${count(this.rows.length)} objects, by DN; filter for the others` : plural(this.rows.length, "object")} · kept up to date`;
  }

  #head() {
    const names = this.columns();
    this.names = names;
    const width = (n) => ({ severity: "6.2rem", lc: "12rem", code: "5rem", descr: "minmax(9rem,2fr)", cause: "minmax(6rem,1fr)", id: "5rem", cur: "4rem", prev: "4rem" })[n] ?? (/Ts$|Transition$|created|Time$|Chg$/.test(n) ? "9.6rem" : "minmax(5rem,1fr)");
    const cells = [...names.map((n) => this.#column(n, n)), this.#column("dn", "Object")];
    this.grid.classList.toggle("compact", Boolean(this.compact));
    this.table.columns([...names.map(width), "minmax(9rem,2fr)"].join(" "), cells);
    this.version = (this.version ?? 0) + 1;
  }

  #column(name, label) {
    const [by, way] = this.sort;
    const on = by === name;
    return {
      cls: name === "dn" ? "dn" : "attribute", sort: on ? (way > 0 ? "ascending" : "descending") : "none",
      content: h("button", { type: "button", class: "sort", tabindex: "-1", title: `Sort by ${name}`, onclick: () => this.sortBy(name) }, label, on ? h("span", { "aria-hidden": "true" }, way > 0 ? " ▴" : " ▾") : null),
    };
  }

  sortBy(name) {
    const [by, way] = this.sort;
    this.app.replace({ sort: by === name && way > 0 ? `-${name}` : name });
    this.#sortFrom(this.app.state.sort);
    this.#arrange();
    announce(`Sorted by ${name}, ${this.sort[1] > 0 ? "ascending" : "descending"}`);
  }

  sortMenu() {
    choose("Sort by", [...(this.names ?? []), "dn"].map((n) => ({ label: n, run: () => this.sortBy(n) })));
  }

  #draw(row, i) {
    const o = this.rows[i];
    if (row.entry === o && row.version === this.version) return;
    if (row.names !== this.names) {
      row.names = this.names;
      row.replaceChildren(...this.names.map((n) => h("div", { class: `cell c-attribute a-${/^\w+$/.test(n) ? n : "x"}`, role: "gridcell" })), h("div", { class: "cell c-dn", role: "gridcell" }, h("span", { class: "up" }), h("span", { class: "rn" })));
    }
    row.entry = o;
    row.version = this.version;
    this.names.forEach((n, c) => {
      const cell = row.children[c], v = o.attributes[n] ?? "";
      if (n === "lc" && phase(v)) cell.replaceChildren(steps(v));
      else if (n === "severity") {
        cell.className = `cell c-severity sev ${words.has(v) ? v : ""}`;
        cell.textContent = clean(v);
      } else if (isTime.test(v) && time(v)) cell.textContent = `${day(time(v), prefs.utc)} ${clock(time(v), prefs.utc, false)}`;
      else cell.textContent = clean(v);
      cell.title = clean(v);
    });
    const dn = row.lastChild, parent = parentDN(o.dn);
    dn.firstChild.textContent = clean(parent ? parent + "/" : "");
    dn.lastChild.textContent = clean(parent ? o.dn.slice(parent.length + 1) : o.dn);
    dn.title = clean(o.dn);
  }

  // #board counts faults by severity and by where in their life they are.
  #board() {
    const fault = /^fault(Inst|Delegate|Info)$/.test(this.of ?? "");
    this.summary.hidden = !fault || this.objects.length === 0;
    if (this.summary.hidden) return;
    const severities = ["critical", "major", "minor", "warning", "info", "cleared"];
    const n = new Map();
    for (const o of this.objects) {
      const k = `${o.attributes.severity} ${phase(o.attributes.lc)}`;
      n.set(k, (n.get(k) ?? 0) + 1);
    }
    const total = (f) => [...n].filter(([k]) => f(k.split(" "))).reduce((a, [, c]) => a + c, 0);
    const lcs = { soaking: ["soaking"], raised: ["raised"], clearing: ["soaking-clearing", "raised-clearing"], retaining: ["retaining"] };
    const cell = (s, p) => {
      const c = n.get(`${s} ${p}`) ?? 0;
      return h("td", { class: "num" }, c === 0 ? h("span", { class: "zero" }, "·") : h("button", { type: "button", title: `Only ${s}, ${p}`, onclick: () => this.#only(`object.severity == ${quote(s)}`, lcs[p]) }, count(c)));
    };
    fill(this.summary, h("table", {}, h("caption", { class: "unseen" }, "Faults by severity and life cycle"),
      h("thead", {}, h("tr", {}, h("td", {}), phases.map((p) => h("th", { scope: "col" }, steps2(p))), h("th", { scope: "col", class: "num" }, "all"))),
      h("tbody", {}, severities.filter((s) => total(([x]) => x === s) > 0 || rank.get(s) < 4).map((s) => h("tr", {}, h("th", { scope: "row" }, h("button", { type: "button", class: `sev ${s}`, onclick: () => this.#only(`object.severity == ${quote(s)}`) }, s)), phases.map((p) => cell(s, p)), h("td", { class: "num all" }, count(total(([x]) => x === s))))))));
  }

  #only(severity, lc) {
    const condition = lc ? `${severity} and ${lc.length === 1 ? `object.lc == ${quote(lc[0])}` : `object.lc in [${lc.map(quote).join(", ")}]`}` : severity;
    this.app.go({ filter: condition });
  }

  #say(title, text, action) {
    this.empty.hidden = title === null;
    this.grid.classList.toggle("void", title !== null);
    if (title !== null) {
      if (this.rows.length === 0) this.summary.hidden = true;
      fill(this.empty, h("h2", {}, title), h("p", {}, text), action && h("p", { class: "actions" }, action));
    }
    return null;
  }

  open(i) {
    const o = this.rows[i];
    this.detail.openObject(o);
    this.app.replace({ object: o.dn });
    requestAnimationFrame(() => { this.table.changed(); this.table.reveal(i); });
  }

  closeDetail() {
    if (this.aside.hidden) return;
    this.detail.close();
    this.table.select(-1, false);
    if (this.app.state.object) this.app.replace({ object: "" });
    requestAnimationFrame(() => this.table.changed());
    this.grid.focus({ preventScroll: true });
  }

  redraw() {
    if (this.objects) this.#arrange();
    this.detail.redraw();
  }

  chooseClass() {
    const have = new Map();
    for (const s of this.app.subscriptions ?? []) have.set(s.class, (have.get(s.class) ?? 0) + s.objects);
    const mine = [...have].map(([c, n]) => ({ label: c, group: "subscribed", about: `${plural(n, "object")}${byClass.has(c) ? ` · ${byClass.get(c).about}` : ""}`, run: () => this.go(c) }));
    const others = classes.filter((c) => !have.has(c.name)).map((c) => ({ label: c.name, group: c.group, about: c.about, run: () => this.go(c.name) }));
    choose("Class", [...mine, ...others], { placeholder: "Class, or what it is for", free: (t) => ({ label: t, about: "this class", run: () => this.go(t) }) });
  }

  go(c) { this.app.go({ view: "objects", of: c, sort: "", object: "", filter: "", selectors: [] }); }
}

function steps2(p) {
  return h("span", { class: `steps lc-${p}` }, h("span", { class: "marks", "aria-hidden": "true" }, phases.map((x) => h("span", { class: x === p ? "mark on" : "mark" }))), p);
}

const collator = new Intl.Collator("en", { numeric: true });
const natural = (a, b) => collator.compare(a, b);
