// The page: one state, which the URL holds, and the views that show it.

import { get, post } from "./api.js";
import { attributes as knownAttributes, byClass, classes, presets, values as knownValues } from "./catalog.js";
import { $, announce, copy, toast } from "./dom.js";
import { Events } from "./events.js";
import { curl } from "./format.js";
import { help, listen } from "./keys.js";
import { Objects } from "./objects.js";
import { choose } from "./palette.js";
import { onChange, prefs, set as setPrefs } from "./prefs.js";
import { Session } from "./session.js";
import { format, parse } from "./state.js";
import { Subscriptions } from "./subscriptions.js";
import { Webhooks } from "./webhooks.js";

// vocabulary is what completion offers: what was seen, and what is known.
class Vocabulary {
  #attributes = new Set(knownAttributes);
  #values = new Map();

  constructor() { for (const [k, list] of Object.entries(knownValues)) for (const v of list) this.#add(k, v); }

  #add(field, value) {
    if (!value) return;
    let set = this.#values.get(field);
    if (!set) this.#values.set(field, set = new Set());
    if (set.size < 500) set.add(value);
  }

  saw(r) {
    this.#add("class", r.cls);
    this.#add("tenant", r.ten);
    this.#add("node", r.node);
    this.#add("fabric", r.fab);
    if (r.chg) for (const [n, , v] of r.chg) {
      if (this.#attributes.size < 2000) this.#attributes.add(n);
      if (v.length < 60) this.#add(n, v);
    }
  }

  objects(list) {
    for (const o of list.slice(0, 500)) for (const [n, v] of Object.entries(o.attributes)) {
      if (this.#attributes.size < 2000) this.#attributes.add(n);
      if (v.length < 40) this.#add(n, v);
    }
  }

  classes(list) { for (const c of list) this.#add("class", c); }

  attributes() { return [...this.#attributes]; }

  values(field) {
    const name = field.replace(/^(object|attributes|path)\./, "").replace(/^changes\.(\w+)\.(old|new)$/, "$1");
    const seen = [...this.#values.get(name) ?? []];
    if (name === "class") return [...new Set([...seen, ...classes.map((c) => c.name)])];
    return name === "severity" || name === "status" || name === "lc" ? seen : seen.sort();
  }
}

class App {
  constructor() {
    this.vocabulary = new Vocabulary();
    this.readonly = $("main").dataset.readonly === "true";
    this.state = null;
    this.views = {};
  }

  async start() {
    this.#chrome();
    this.state = parse(location.search);
    this.views.events = new Events(this);
    this.views.objects = new Objects(this);
    this.views.subscriptions = new Subscriptions(this);
    this.views.webhooks = new Webhooks(this);
    this.views.session = new Session(this);
    addEventListener("popstate", () => { this.state = parse(location.search); this.#show(); });
    onChange((patch) => { if ("utc" in patch || "theme" in patch) this.#prefs(); });
    this.#prefs(false);
    const subscriptions = this.refreshSubscriptions();
    this.refreshSession();
    setInterval(() => { if (!document.hidden) { this.refreshSubscriptions(); this.refreshSession(); } }, 5000);
    setInterval(() => { if (!document.hidden && this.state.view === "webhooks") this.views.webhooks.refresh(); }, 2000);
    setInterval(() => { if (!document.hidden && this.state.view === "session") this.views.session.draw(); }, 1000);
    if (this.state.view !== "events") {
      await subscriptions;
      this.views.events.show({ ...this.state, view: "events", ...(this.state.view === "objects" ? { filter: "", selectors: [] } : {}), event: 0, since: "", until: "" });
    }
    await this.#show();
    document.documentElement.classList.add("ready");
  }

  // ---- State

  // go changes the state as a step that "back" takes back. The answer is a
  // Problem when check is asked for and the view refuses, which leaves all as it was.
  async go(patch, { check = false } = {}) {
    const before = this.state;
    const state = { ...before, ...patch };
    if (patch.view && patch.view !== before.view) {
      if (!("filter" in patch)) Object.assign(state, { filter: "", selectors: [] });
      for (const k of ["event", "object", "since", "until", "find", "hook", "edit"]) if (!(k in patch)) state[k] = k === "event" ? 0 : "";
    }
    if (check) {
      const problem = await this.views[state.view].show(state, { check: true });
      if (problem) return problem;
      this.state = state;
      this.#url(state, "pushState");
      return null;
    }
    this.state = state;
    this.#url(state, "pushState");
    await this.#show();
    return null;
  }

  // replace changes the URL only: what is shown has changed already.
  replace(patch) {
    this.state = { ...this.state, ...patch };
    this.#url(this.state, "replaceState");
  }

  visit(url) {
    this.state = parse(new URL(url, location.href).search);
    this.#url(this.state, "pushState");
    this.#show();
  }

  #url(state, how) {
    const url = format(state);
    if (url !== location.pathname + location.search) history[how](null, "", url);
  }

  async #show() {
    const { view } = this.state;
    document.documentElement.dataset.view = view;
    for (const a of document.querySelectorAll("nav.views a")) {
      if (a.dataset.view === view) a.setAttribute("aria-current", "page");
      else a.removeAttribute("aria-current");
    }
    document.querySelector("nav.views a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    document.title = { events: "Events", objects: "Objects", subscriptions: "Subscriptions", webhooks: "Webhooks", session: "Session" }[view] + " · acitap";
    document.body.classList.toggle("has-detail", false);
    await this.views[view].show(this.state);
    document.body.classList.toggle("has-detail", Boolean(document.querySelector(`#view-${view} .detail:not([hidden])`)));
  }

  // ---- What is asked for now and then

  async refreshSubscriptions() {
    try {
      this.subscriptions = (await get("/subscriptions")).subscriptions;
      this.vocabulary.classes(this.subscriptions.map((s) => s.class));
      this.views.subscriptions?.draw(this.subscriptions);
    } catch { /* the strip says that acitap does not answer */ }
  }

  async refreshSession() {
    try {
      this.#session((await get("/session")).fabrics);
      this.sessionError = null;
    } catch (e) {
      this.sessionError = e.message;
      this.#chip();
    }
    this.views.session.draw();
  }

  // status takes what the stream says of the session.
  status(s) {
    if (Array.isArray(s.fabrics)) this.#session(s.fabrics);
    else if (s.state && this.fabrics?.some((f) => f.name === (s.name ?? s.fabric))) this.#session(this.fabrics.map((f) => f.name === (s.name ?? s.fabric) ? { ...f, ...s } : f));
    else this.refreshSession();
  }

  #session(fabrics) {
    for (const f of fabrics) {
      const before = this.fabrics?.find((x) => x.name === f.name);
      if (before && before.state !== f.state) {
        const text = { connected: `Session with fabric ${f.name} is up again, on ${f.controller}.`, backoff: `Session with fabric ${f.name} is lost: ${f.lastError || "reason not known"}. acitap tries again.`, connecting: `Session with fabric ${f.name}: connecting.`, failed: `Fabric ${f.name} refuses the session: ${f.lastError}.` }[f.state];
        if (text && f.state !== "connecting") this.views.events?.note(text, f.state !== "connected");
      }
    }
    this.fabrics = fabrics;
    this.views.events?.sessions(fabrics);
    this.#chip();
    this.views.session?.draw();
  }

  #chip() {
    const chip = $("fabric-chip");
    const list = this.fabrics ?? [];
    const bad = list.filter((f) => f.state !== "connected");
    const f = bad[0] ?? list[0];
    if (this.sessionError && !f) return;
    const state = this.sessionError ? "backoff" : f?.state ?? "connecting";
    const says = this.sessionError ? "acitap does not answer" : { connected: `connected to ${f.controller}`, backoff: "not connected", failed: "refused", connecting: "connecting" }[f?.state] ?? "";
    const more = list.length > 1 ? ` and ${list.length - 1} more` : "";
    chip.replaceChildren(Object.assign(document.createElement("span"), { className: `state ${["connected", "connecting", "backoff", "failed"].includes(state) ? state : ""}`, textContent: f?.name ?? "" }),
      Object.assign(document.createElement("span"), { className: "says", textContent: says + more }));
    chip.title = f?.lastError && state !== "connected" ? f.lastError : says;
  }

  saw(rows) { if (this.state.view === "objects") this.views.objects.saw(rows); }

  // subscribe adds a subscription and tells how it went.
  async subscribe(name, body = {}, path = `/subscriptions/${encodeURIComponent(name)}`, say = (t) => toast(t, "bad")) {
    try {
      const s = await post(path, null, body);
      const list = s?.subscriptions ?? [s];
      for (const x of list) toast(x?.state === "pending" ? `${x.class} will be subscribed as soon as the APIC is in reach` : `${x?.class ?? name} is subscribed`);
      await this.refreshSubscriptions();
      return true;
    } catch (e) {
      say(e.apic?.text ? `${e.message} (APIC ${e.apic.code}: ${e.apic.text})` : e.message);
      return false;
    }
  }

  // ---- The frame of the page

  #chrome() {
    $("open-palette").addEventListener("click", () => this.run("commands"));
    $("toggle-zone").addEventListener("click", () => this.run("zone"));
    $("toggle-theme").addEventListener("click", () => this.run("theme"));
    $("open-help").addEventListener("click", () => this.run("help"));
    document.addEventListener("click", (e) => {
      // Links within the page change the state instead of loading it anew.
      const a = e.target.closest?.("a[href^='/']");
      if (!a || e.defaultPrevented || e.button !== 0 || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey || a.target || a.pathname !== "/") return;
      e.preventDefault();
      const to = parse(a.search);
      if (a.dataset.view) this.go({ view: to.view });
      else this.visit(a.href);
    });
    listen((name) => this.run(name));
  }

  #prefs(redraw = true) {
    const root = document.documentElement;
    if (prefs.theme) root.dataset.theme = prefs.theme;
    else delete root.dataset.theme;
    $("toggle-zone").textContent = prefs.utc ? "UTC" : "Local";
    $("toggle-theme").setAttribute("aria-label", `Theme: ${prefs.theme || "as the system"}`);
    if (!redraw) return;
    this.views.events.chart.rebuild();
    this.views.events.redraw();
    if (this.state.view !== "events") this.views[this.state.view].redraw?.();
    if (["session", "subscriptions", "webhooks"].includes(this.state.view)) this.views[this.state.view].show(this.state);
  }

  run(name) {
    const { events, objects } = this.views;
    const inEvents = this.state.view === "events";
    const detail = this.state.view === "objects" ? objects.detail : events.detail;
    if (name.startsWith("view-")) return this.go({ view: name.slice(5) });
    if (name.startsWith("tab-")) return detail.chooseNumber(Number(name.slice(4)));
    switch (name) {
      case "commands": return this.#commands();
      case "help": return help();
      case "zone":
        setPrefs({ utc: !prefs.utc });
        return announce(prefs.utc ? "Times in UTC" : "Times in local time");
      case "theme": {
        const next = { "": "dark", dark: "light", light: "" }[prefs.theme];
        setPrefs({ theme: next });
        return toast(`Theme: ${next || "as the system"}`);
      }
      case "hook-add": return this.state.view === "webhooks" ? this.views.webhooks.add() : undefined;
      case "filter":
        if (this.state.view === "webhooks") return this.views.webhooks.form?.bar.input.focus();
        return (this.state.view === "objects" ? objects : events).bar.input.focus();
      case "copy-link": return copy(location.href, "Link");
      case "copy-curl":
        if (!detail.el.hidden) return detail.copyCurl();
        return copy(curl(location.origin, ...events.curl()), "curl command");
      case "escape":
        if (this.state.view === "webhooks") return this.views.webhooks.escape();
        if (this.state.view === "objects") return objects.closeDetail();
        if (!events.detail.el.hidden || events.selected) return events.closeDetail();
        return events.findBar.hidden ? undefined : events.stopFinding();
    }
    if (!inEvents) return;
    switch (name) {
      case "find": return events.find();
      case "next-hit": return events.hit(1);
      case "previous-hit": return events.hit(-1);
      case "pause": return events.togglePause();
      case "newest": return events.newest();
      case "clear": return events.clear();
      case "filter-in": return events.filterMenu(false);
      case "filter-out": return events.filterMenu(true);
      case "context": {
        const r = events.selectedRow();
        return r ? events.context(r.t, r.id) : toast("Select an event first: j and k move through the list.");
      }
      case "back-live": return events.backLive();
      case "histogram": return events.chart.el.focus();
      case "presets": return events.presets();
      case "save": return events.save();
      case "export": return events.export();
      case "columns": return events.columnsMenu();
    }
  }

  #commands() {
    const c = (group, label, name, key, about) => ({ group, label, key, about, run: () => this.run(name) });
    const list = [
      c("Go", "Events", "view-events", "g e"), c("Go", "Objects", "view-objects", "g o"), c("Go", "Subscriptions", "view-subscriptions", "g s"), c("Go", "Webhooks", "view-webhooks", "g w"), c("Go", "Session", "view-session", "g c"),
      { group: "Go", label: "API", about: "read and try the calls", run: () => location.assign("/docs") },
      ...prefs.saved.map((s) => ({ group: "Saved", label: s.name, run: () => this.visit(s.url) })),
      ...presets.map(([name, filter]) => ({ group: "Preset", label: name, about: filter, run: () => this.go({ view: "events", filter, selectors: [], event: 0 }) })),
      ...(this.subscriptions ?? []).map((s) => ({ group: "Objects", label: s.class, about: byClass.get(s.class)?.about, run: () => this.go({ view: "objects", of: s.class, filter: "", selectors: [], sort: "" }) })),
      c("Do", "Switch between local time and UTC", "zone", "u"), c("Do", "Switch the theme", "theme", "t"), c("Do", "Copy a link to this view", "copy-link", "l"),
      c("Do", "Copy as curl", "copy-curl", "y"), c("Do", "Keys", "help", "?"),
    ];
    if (this.state.view === "events") {
      list.push(c("Do", "Pause or resume", "pause", "Space"), c("Do", "To the newest", "newest", "G"), c("Do", "Clear the list", "clear", "c"), c("Do", "Find in the rows", "find", "f"), c("Do", "Filter", "filter", "/"),
        c("Do", "Back to live", "back-live", "b"), c("Do", "In context", "context", "x", "30 s around the selected event"), c("Do", "Export what is filtered", "export", "e"), c("Do", "Columns", "columns", "v"), c("Do", "Save this view", "save", "s"),
        ...[["the last 15 minutes", "15m"], ["the last hour", "1h"], ["the last 24 hours", "24h"]].map(([label, since]) => ({ group: "History", label: `Show ${label}`, run: () => this.go({ since, until: "latest", event: 0 }) })));
    }
    list.push(...this.views.webhooks.commands());
    if (this.state.view === "objects") list.push({ group: "Do", label: "Sort by …", run: () => this.views.objects.sortMenu() }, { group: "Do", label: "Choose a class …", run: () => this.views.objects.chooseClass() });
    if (!this.readonly) for (const k of classes) if (!this.subscriptions?.some((s) => s.class === k.name)) list.push({ group: "Subscribe", label: k.name, about: k.about, run: () => this.subscribe(k.name) });
    choose("Commands", list, { placeholder: "What do you want to do?" });
  }
}

const app = new App();
globalThis.acitap = app; // for the console, and for tests
app.start();
