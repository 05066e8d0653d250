// The view of subscriptions: what acitap listens to, and adding to it.

import { del, now, post } from "./api.js";
import { byClass, classes } from "./catalog.js";
import { $, button, clean, fill, h, held, icon, toast } from "./dom.js";
import { ago, count, plural, rate, stamp, time } from "./format.js";
import { dialog } from "./palette.js";
import { prefs } from "./prefs.js";

export class Subscriptions {
  constructor(app) {
    this.app = app;
    this.before = new Map(); // events of each at the last look
    this.mode = "class";
    this.#form();
  }

  #form() {
    const el = $("subscriptions-form");
    if (this.app.readonly) {
      fill(el, h("p", { class: "hint" }, "Your token may read. To change subscriptions it needs the role operator."));
      return;
    }
    const modes = [["class", "By class"], ["query", "By query"], ["dn", "By DN"]];
    this.tabs = h("div", { class: "segmented", role: "group", "aria-label": "How to add" }, modes.map(([id, label]) => h("button", { type: "button", dataset: { id }, "aria-pressed": String(id === this.mode), onclick: () => { this.mode = id; this.#fields(); } }, label)));
    this.fields = h("form", { class: "add-form", novalidate: true });
    this.fields.addEventListener("submit", (e) => { e.preventDefault(); this.add(); });
    this.message = h("p", { class: "form-message", role: "alert", hidden: true });
    this.box = h("div", { class: "add", id: "add-subscription", hidden: true }, h("div", { class: "add-head" }, h("h3", {}, "Add"), this.tabs, h("span", { class: "push" }), button({ icon: "close", label: "Close", onclick: () => this.#open(false) })), this.fields, this.message);
    this.opener = button({ icon: "plus", text: "Add a subscription", class: "primary", "aria-expanded": "false", "aria-controls": "add-subscription", onclick: () => this.#open(this.box.hidden) });
    fill(el, h("p", {}, this.opener), this.box);
    this.#fields();
  }

  #open(on) {
    if (!this.box) return;
    this.box.hidden = !on;
    this.opener.hidden = on;
    this.opener.setAttribute("aria-expanded", String(on));
    (on ? this.fields.querySelector("input") : this.opener).focus();
  }

  #fields() {
    for (const b of this.tabs.children) b.setAttribute("aria-pressed", String(b.dataset.id === this.mode));
    this.message.hidden = true;
    const field = (label, input, hint) => h("label", { class: "field" }, h("span", {}, label), input, hint && h("span", { class: "hint" }, hint));
    const text = (name, placeholder) => h("input", { type: "text", name, placeholder, spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
    const onlyNew = h("label", { class: "check-field" }, h("input", { type: "checkbox", name: "onlyNew" }), "only what happens from now on (the objects that exist become no events)");
    const add = h("button", { type: "submit", class: "primary" }, "Subscribe");
    const known = new Set((this.app.subscriptions ?? []).filter((s) => !s.dn && !s.filter).map((s) => s.class));
    if (this.mode === "class") {
      const input = text("class", "fvTenant, EPG, faultInst …");
      input.setAttribute("aria-label", "Class");
      const picks = h("div", { class: "picks", role: "group", "aria-label": "Classes that people watch" });
      const draw = () => {
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        const list = classes.filter((c) => words.every((w) => `${c.name} ${c.about} ${c.group}`.toLowerCase().includes(w)));
        let group = "";
        fill(picks, list.map((c) => {
          const heading = c.group !== group ? h("h4", {}, group = c.group) : null;
          const has = known.has(c.name);
          return [heading, h("button", { type: "button", class: "pick", disabled: has, title: has ? "is subscribed" : `Subscribe ${c.name}`, onclick: () => { input.value = c.name; this.add(); } }, h("b", {}, c.name), h("span", {}, c.about), has && h("span", { class: "has" }, "✓ subscribed"))];
        }), list.length === 0 && h("p", { class: "hint" }, "None of the known ones. Any APIC class can be subscribed: write its name as it stands in the object browser."));
      };
      input.addEventListener("input", draw);
      fill(this.fields, h("div", { class: "add-row" }, field("Class", input), field("APIC filter, if any", text("filter", 'eq(fvTenant.name,"common")')), add), onlyNew, picks);
      draw();
    } else if (this.mode === "query") {
      fill(this.fields, h("div", { class: "add-row" }, field("Query", text("query", "/api/mo/uni/tn-prod.json?query-target=subtree&target-subtree-class=fvAEPg,fvBD"), "as API Inspector, Visore or the browser's address bar give it, with or without the host"), add), onlyNew);
    } else {
      const scope = h("select", { name: "scope" }, [["self", "only this object"], ["children", "its children"], ["subtree", "all below it"]].map(([v, l]) => h("option", { value: v }, l)));
      fill(this.fields, h("div", { class: "add-row" }, field("DN", text("dn", "uni/tn-prod")), field("Class", text("class", "fvTenant")), field("Which", scope), add), onlyNew);
    }
  }

  async add() {
    const data = new FormData(this.fields);
    const value = (n) => String(data.get(n) ?? "").trim();
    const body = data.get("onlyNew") ? { onlyNew: true } : {};
    let path;
    if (this.mode === "query") {
      if (!value("query")) return this.#say("Paste a query first.");
      path = "/subscriptions";
      body.query = value("query");
    } else {
      const names = value("class").split(/[\s,]+/).filter(Boolean);
      if (names.length === 0) return this.#say("Write a class, or pick one below.");
      if (this.mode === "dn") {
        if (!value("dn")) return this.#say("Write a DN.");
        body.dn = value("dn");
        if (value("scope") !== "self") body.scope = value("scope");
      } else if (value("filter")) body.filter = value("filter");
      for (const name of names.slice(0, -1)) await this.app.subscribe(name, body);
      path = `/subscriptions/${encodeURIComponent(names.at(-1))}`;
    }
    this.#say("");
    const ok = await this.app.subscribe(null, body, path, (text) => this.#say(text));
    if (ok) {
      this.#fields();
      this.fields.querySelector("input")?.focus();
    }
  }

  #say(text) {
    this.message.hidden = !text;
    this.message.textContent = text;
  }

  show() {
    this.draw(this.app.subscriptions);
    return null;
  }

  draw(list) {
    const el = $("subscriptions-list");
    if (!list) return;
    const t = performance.now();
    for (const s of list) {
      const b = this.before.get(s.id);
      if (!b) this.before.set(s.id, { events: s.events, t, rate: null });
      else if (t - b.t > 4000) this.before.set(s.id, { events: s.events, t, rate: Math.max(0, s.events - b.events) / ((t - b.t) / 1000) });
    }
    if (this.app.state?.view !== "subscriptions") return;
    const known = list.map((s) => s.class).join();
    // The picks tell what is subscribed; nothing that was typed is lost for it.
    const typed = () => [...this.fields.querySelectorAll('input[type="text"]')].some((i) => i.value !== "");
    if (this.known !== known && this.fields && this.mode === "class" && !this.fields.contains(document.activeElement) && !typed()) { this.known = known; this.#fields(); }
    if (list.length === 0) {
      if (this.box) this.box.hidden = !(this.opener.hidden = true);
      fill(el, h("p", { class: "hint" }, "Nothing is subscribed yet. Pick a class: faultInst for faults, aaaModLR for who changed what."));
      return;
    }
    if (held(el)) return;
    const focused = document.activeElement?.closest?.("[data-remove]")?.dataset.remove;
    const head = ["State", "Class", "Query", "Objects", "Events", "Rate", "Last event", "Proof of life", ""];
    fill(el, h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "List of subscriptions" }, h("table", { class: "plain cards" },
      h("thead", {}, h("tr", {}, head.map((x, i) => h(x ? "th" : "td", { scope: x ? "col" : null, class: i >= 3 && i <= 5 ? "num" : null }, x)))),
      h("tbody", {}, list.map((s) => h("tr", {},
        h("td", {}, h("span", { class: `state ${["active", "pending", "failed"].includes(s.state) ? s.state : ""}` }, s.state)),
        h("td", {}, h("a", { href: `/?view=objects&of=${encodeURIComponent(s.class)}`, title: "What is true now" }, s.class), byClass.has(s.class) && h("div", { class: "hint" }, byClass.get(s.class).about)),
        h("td", { class: "dn query" }, clean(s.query ?? ""), s.error && h("div", { class: "error-text" }, clean(s.error)), s.onlyNew && h("div", { class: "hint" }, "only new")),
        h("td", { class: "num", "data-label": "objects" }, count(s.objects ?? 0)), h("td", { class: "num", "data-label": "events" }, count(s.events ?? 0)),
        h("td", { class: "num", "data-label": "rate" }, this.before.get(s.id)?.rate == null ? "–" : rate(this.before.get(s.id).rate)),
        h("td", { class: "when", "data-label": "last event", title: time(s.lastEventAt) ? stamp(time(s.lastEventAt), prefs.utc) : "" }, ago(time(s.lastEventAt), now())),
        h("td", { class: "when", "data-label": "alive", title: time(s.lastProofOfLife) ? stamp(time(s.lastProofOfLife), prefs.utc) : "" }, ago(time(s.lastProofOfLife), now())),
        h("td", {}, this.app.readonly ? null : button({ icon: "trash", label: `Remove ${s.class}`, onclick: () => this.remove(s), dataset: { remove: s.id } })))))),
    ), h("p", { class: "hint" }, `${plural(list.length, "subscription")}. Removing one leaves its logged events in history.`));
    if (focused) el.querySelector(`[data-remove="${CSS.escape(focused)}"]`)?.focus();
  }

  remove(s) {
    const box = dialog("Remove the subscription?", "confirm", h("p", {}, h("b", {}, s.class), " ", h("span", { class: "dn" }, clean(s.query ?? ""))),
      h("p", { class: "hint" }, "acitap then hears nothing of it any more. What is logged stays."),
      h("p", { class: "actions" }, h("button", { type: "button", class: "danger", onclick: () => { box.close(); this.#removed(s); } }, "Remove"), h("button", { type: "button", onclick: () => box.close() }, "Keep")));
    box.querySelector(".danger").focus();
  }

  async #removed(s) {
    try {
      await del(`/subscriptions/${encodeURIComponent(s.class)}/${encodeURIComponent(s.id)}`);
      toast(`${s.class} removed`);
    } catch (e) {
      toast(e.message, "bad");
    }
    this.app.refreshSubscriptions();
  }
}
