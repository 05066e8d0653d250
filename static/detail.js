// The panel that shows one event, or one object: what changed, the whole
// object, its history, and the JSON.

import { get, now } from "./api.js";
import { button, clean, copy, fill, h, icon, toast } from "./dom.js";
import { attribute, quote } from "./filter.js";
import { ago, byImportance, clock, count, crumbs, curl, day, dnPath, plural, stamp, time } from "./format.js";
import { lifecycle } from "./lifecycle.js";
import { prefs } from "./prefs.js";

const origins = {
  snapshot: "It existed already when its subscription began.",
  resync: "Found by comparing after an outage: its moment is approximate, and what came and went in between is lost.",
};

const words = new Set(["created", "modified", "deleted", "critical", "major", "minor", "warning", "info", "cleared"]);
const known = (w) => words.has(w) ? w : "";

const tabs = [["change", "Change"], ["object", "Object"], ["history", "History"], ["json", "JSON"]];

export class Detail {
  // on: app, close, step, context, open, filter
  constructor(el, on) {
    this.el = el;
    this.on = on;
    this.tab = "change";
    this.generation = 0;
  }

  close() {
    this.el.hidden = true;
    this.generation++;
    document.body.classList.remove("has-detail");
  }

  // open shows an entry of the timeline.
  open(entry) {
    this.entry = entry;
    this.object = null;
    this.show();
  }

  // openObject shows an object as it is now.
  openObject(object) {
    this.object = object;
    this.entry = null;
    if (this.tab === "change") this.tab = "object";
    this.show();
  }

  redraw() { if (!this.el.hidden) this.show(); }

  show() {
    const generation = ++this.generation;
    this.el.hidden = false;
    document.body.classList.add("has-detail");
    const e = this.entry ?? this.object;
    const gap = e.kind === "gap";
    const head = h("header", { class: "detail-head" },
      h("div", { class: "detail-title" },
        gap ? h("span", { class: "gap-word" }, "Gap") : this.entry ? h("span", { class: `st ${known(e.status)}` }, e.status) : null,
        !gap && h("a", { class: "cls", href: `/?view=objects&of=${encodeURIComponent(e.class)}`, title: "What is true now in this class" }, e.class),
        !gap && (e.attributes?.severity) && h("span", { class: `sev ${known(e.attributes.severity)}` }, clean(e.attributes.severity)),
        h("span", { class: "push" }),
        this.on.step && button({ icon: "up", label: "Event before", key: "k", onclick: () => this.on.step(-1) }),
        this.on.step && button({ icon: "down", label: "Next event", key: "j", onclick: () => this.on.step(1) }),
        button({ icon: "close", label: "Close", key: "Esc", onclick: () => this.on.close() })),
      this.entry && h("div", { class: "detail-time" }, h("time", { datetime: e.time, title: e.time }, stamp(Date.parse(e.time), prefs.utc)), h("span", { class: "hint" }, ` ${ago(Date.parse(e.time), now())} · ${e.fabric}`)),
      !gap && this.#path(e),
      origins[e.origin] && this.entry && h("p", { class: "origin-note" }, origins[e.origin]),
      !gap && h("div", { class: "detail-actions" },
        this.entry && button({ icon: "context", text: "In context", key: "x", class: "", onclick: () => this.on.context(Date.parse(e.time), e.id) }),
        button({ icon: "link", text: "Link", key: "l", class: "", onclick: () => copy(location.href, "Link") }),
        button({ icon: "copy", text: "curl", key: "y", class: "", onclick: () => this.copyCurl() }),
        button({ icon: "copy", text: "DN", class: "", onclick: () => copy(e.dn, "DN") })));
    this.body = h("div", { class: "detail-body", role: "tabpanel", tabindex: "0", "aria-label": "Detail" });
    if (gap) {
      fill(this.el, head, this.body);
      this.#gap(e);
      return;
    }
    const shown = this.entry ? tabs : tabs.slice(1);
    this.strip = h("div", { class: "tabs", role: "tablist", "aria-label": "Detail" }, shown.map(([id, label], i) => h("button", {
      type: "button", role: "tab", dataset: { tab: id }, title: `${label} (${i + (this.entry ? 1 : 2)})`, onclick: () => this.choose(id),
    }, label)));
    this.strip.addEventListener("keydown", (ev) => {
      const all = [...this.strip.children], at = all.indexOf(document.activeElement);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1 }[ev.key];
      if (to !== undefined && all[to]) { ev.preventDefault(); this.choose(all[to].dataset.tab); this.strip.children[to].focus(); }
    });
    fill(this.el, head, this.strip, this.body);
    this.#draw(generation);
  }

  choose(tab) {
    if (this.el.hidden || !this.strip || (this.entry?.kind === "gap") || (!this.entry && tab === "change")) return;
    this.tab = tab;
    this.#draw(++this.generation);
  }

  chooseNumber(n) { this.choose(tabs[n - 1][0]); }

  copyCurl() {
    const e = this.entry ?? this.object;
    copy(this.entry ? curl(location.origin, `/events/${e.id}`, new URLSearchParams({ include: "object" }))
      : curl(location.origin, `/objects/${e.class}/${dnPath(e.dn)}`), "curl command");
  }

  #path(e) {
    const list = crumbs(e.dn);
    return h("nav", { class: "crumbs", "aria-label": "Path" }, h("ol", {}, list.map((c, i) => h("li", {},
      i === 0 && !c.kind ? h("span", { class: "crumb root" }, clean(c.rn))
        : h("button", { type: "button", class: "crumb", title: `Everything of ${c.label ? `${c.label} ${clean(c.name)}` : clean(c.dn)}`, onclick: () => this.on.filter(c.expr) },
          c.label && h("span", { class: "kind" }, c.label), h("bdi", {}, clean(c.name)))))));
  }

  #draw(generation) {
    for (const t of this.strip.children) {
      const on = t.dataset.tab === this.tab;
      t.setAttribute("aria-selected", String(on));
      t.tabIndex = on ? 0 : -1;
    }
    const alive = () => generation === this.generation;
    const put = (...nodes) => { if (alive()) fill(this.body, ...nodes); };
    const e = this.entry ?? this.object;
    switch (this.tab) {
      case "change": return this.#change(e, put);
      case "object": return this.#object(e, put);
      case "history": return this.#history(e, put);
      case "json": return this.#json(e, put);
    }
  }

  // #value is a value with the buttons that filter by it.
  #value(name, value, cls = "") {
    const condition = `${attribute(name)} == ${quote(value)}`;
    const empty = value === "";
    return h("span", { class: `value ${cls} ${name === "severity" ? `sev ${known(value)}` : ""}` }, h("bdi", { class: empty ? "nothing" : "" }, empty ? '""' : clean(value)),
      h("span", { class: "value-tools" },
        button({ icon: "plus", label: `Only ${condition}`, onclick: () => this.on.filter(condition) }),
        button({ icon: "minus", label: `Not ${condition}`, onclick: () => this.on.filter(condition, true) })));
  }

  #attributes(attrs, changed = null) {
    const names = Object.keys(attrs).filter((n) => n !== "dn");
    const quietNames = new Set(["rn", "status", "childAction", "lcOwn", "uid", "monPolDn", "userdom", "extMngdBy", "annotation", "ownerKey", "ownerTag"]);
    const loud = names.filter((n) => (attrs[n] !== "" && !quietNames.has(n)) || changed?.has(n)).sort((a, b) => byImportance(a, b) || a.localeCompare(b));
    const quiet = names.filter((n) => !loud.includes(n)).sort();
    const row = (n) => h("tr", { class: changed?.has(n) ? "changed" : null }, h("th", { scope: "row" }, clean(n), changed?.has(n) && h("span", { class: "unseen" }, " (changed)")), h("td", {}, this.#value(n, attrs[n])));
    return [
      attrs.lc && attrs.severity !== undefined ? lifecycle(attrs.lc, attrs) : null,
      h("table", { class: "attrs" }, h("tbody", {}, loud.map(row))),
      quiet.length > 0 && h("details", { class: "more" }, h("summary", {}, `${plural(quiet.length, "attribute")} that are empty or the APIC's own`), h("table", { class: "attrs" }, h("tbody", {}, quiet.map(row)))),
    ];
  }

  #change(e, put) {
    if (e.status === "modified" && e.changes) {
      const names = Object.keys(e.changes).sort((a, b) => byImportance(a, b) || a.localeCompare(b));
      if (names.length === 0) return put(h("p", { class: "hint" }, "The APIC sent this object again, and no attribute has another value than before."), this.#attributes(e.attributes));
      return put(
        e.changes.lc || e.changes.severity ? lifecycle(e.attributes.lc ?? "", e.attributes) : null,
        h("table", { class: "changes" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Attribute"), h("th", { scope: "col" }, "Before"), h("th", { scope: "col", class: "arrow" }, h("span", { class: "unseen" }, "became")), h("th", { scope: "col" }, "After"))),
          h("tbody", {}, names.map((n) => h("tr", {}, h("th", { scope: "row" }, clean(n)), h("td", {}, this.#value(n, e.changes[n].old, "old")), h("td", { class: "arrow", "aria-hidden": "true" }, "→"), h("td", {}, this.#value(n, e.changes[n].new, "new")))))),
        e.attributes.modTs && h("p", { class: "hint" }, `The APIC says it was modified at ${e.attributes.modTs}.`));
    }
    if (e.status === "modified") return put(h("p", { class: "hint" }, "What stood there before is not known: acitap had not seen the object. These attributes were sent:"), this.#attributes(e.attributes));
    if (e.status === "deleted") {
      put(h("p", { class: "hint" }, "Reading how it last stood …"));
      return this.#whole(e).then((o) => put(h("p", { class: "hint" }, o ? "Gone. So it last stood:" : "Gone. How it last stood is not known."), o && this.#attributes(o)));
    }
    return put(this.#attributes(e.attributes));
  }

  async #whole(e) {
    const answer = await get(`/events/${e.id}`, new URLSearchParams({ include: "object" }));
    return answer.object ?? null;
  }

  async #object(e, put) {
    const isNow = this.object !== null || this.asNow;
    const pick = (label, on, run) => h("button", { type: "button", "aria-pressed": String(on), onclick: run }, label);
    const head = this.entry && h("div", { class: "segmented", role: "group", "aria-label": "When" },
      pick("Right after this event", !isNow, () => { this.asNow = false; this.#draw(++this.generation); }),
      pick("Now", isNow, () => { this.asNow = true; this.#draw(++this.generation); }));
    put(head, h("p", { class: "hint" }, "Reading …"));
    try {
      if (isNow) {
        const o = await get(`/objects/${e.class}/${dnPath(e.dn)}`, e.fabric ? new URLSearchParams({ fabric: e.fabric }) : null);
        const differs = new Set(this.entry ? Object.keys(o.attributes).filter((n) => n in (e.attributes ?? {}) && e.attributes[n] !== o.attributes[n] && !["status", "childAction", "rn", "modTs"].includes(n)) : []);
        put(head, this.entry && differs.size > 0 && h("p", { class: "hint" }, `${plural(differs.size, "attribute")} of the event ${differs.size === 1 ? "has" : "have"} another value now; marked.`), this.#attributes(o.attributes, differs));
      } else {
        const o = await this.#whole(e);
        put(head, o ? this.#attributes(o, new Set(Object.keys(e.changes ?? {}))) : h("p", { class: "hint" }, "The whole object is not known at this moment: acitap saw only what changed."));
      }
    } catch (err) {
      put(head, h("p", { class: "hint" }, err.status === 404 ? "It does not exist now." : err.message));
    }
  }

  async #history(e, put) {
    put(h("p", { class: "hint" }, "Reading its history …"));
    try {
      const { events } = await get(`/objects/${e.class}/${dnPath(e.dn)}/history`, new URLSearchParams({ limit: "200" }));
      if (events.length === 0) return put(h("p", { class: "hint" }, "Nothing is logged of it."));
      let lastDay = "";
      put(h("p", { class: "hint" }, `${events.length >= 200 ? "The newest 200 events" : plural(events.length, "event")} of this object, newest first.`),
        h("ol", { class: "history" }, events.filter((v) => v.kind !== "gap").map((v) => {
          const t = Date.parse(v.time), d = day(t, prefs.utc);
          const head = d !== lastDay ? h("span", { class: "day" }, d) : null;
          lastDay = d;
          const names = Object.keys(v.changes ?? {}).sort(byImportance);
          return h("li", { class: v.id === e.id ? "here" : null }, head,
            h("button", { type: "button", "aria-current": v.id === e.id ? "true" : null, onclick: () => this.on.open(v.id) },
              h("time", {}, clock(t, prefs.utc)), h("span", { class: `st ${known(v.status)}` }, v.status),
              h("span", { class: "what" }, names.length > 0 ? names.slice(0, 3).map((n) => h("span", { class: "chg" }, h("span", { class: "attr" }, clean(n)), " ", h("span", { class: "old" }, clean(v.changes[n].old || '""')), " → ", h("span", { class: "new" }, clean(v.changes[n].new || '""')))) : v.origin === "snapshot" ? "as it stood when the subscription began" : clean(v.attributes?.descr ?? ""))));
        })));
    } catch (err) {
      put(h("p", { class: "hint" }, err.message));
    }
  }

  async #json(e, put) {
    const draw = (value) => {
      const text = JSON.stringify(value, null, 2);
      put(h("div", { class: "json-tools" }, button({ icon: "copy", text: "Copy", class: "", onclick: () => copy(text, "JSON") }), this.entry && button({ text: "With the whole object", class: "", onclick: () => get(`/events/${e.id}`, new URLSearchParams({ include: "object" })).then(draw, (err) => toast(err.message, "bad")) })),
        h("pre", { class: "json", tabindex: "0", "aria-label": "JSON" }, clean2(text)));
    };
    draw(e);
  }

  #gap(g) {
    const from = time(g.from), to = time(g.to);
    fill(this.body, h("dl", { class: "facts" },
      h("div", {}, h("dt", {}, "Out of sight"), h("dd", {}, (g.classes ?? []).length > 0 ? g.classes.join(", ") : "everything")),
      h("div", {}, h("dt", {}, "From"), h("dd", {}, from ? stamp(from, prefs.utc) : "not known", h("span", { class: "hint" }, " the last proof of life"))),
      h("div", {}, h("dt", {}, "To"), h("dd", {}, to ? stamp(to, prefs.utc) : "not known", h("span", { class: "hint" }, " the end of the comparison"))),
      h("div", {}, h("dt", {}, "Reason"), h("dd", {}, clean(g.reason))),
      h("div", {}, h("dt", {}, "State"), h("dd", {}, g.healed ? "Whole again: the resync events before this row are the differences. What came and went in between is lost." : "Not made whole yet.")),
      h("div", {}, h("dt", {}, "Fabric"), h("dd", {}, clean(g.fabric)))));
  }
}

// Line breaks of the JSON's layout stay; all else that does not show is written out.
const clean2 = (text) => text.split("\n").map(clean).join("\n");
