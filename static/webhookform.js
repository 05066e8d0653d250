// The form of a webhook, with what it would send beside it.

import { Problem, entries, patch, post } from "./api.js";
import { classes } from "./catalog.js";
import { button, clean, fill, h, icon, lines } from "./dom.js";
import { FilterBar } from "./filterbar.js";
import { plain, search } from "./filter.js";
import { clock, day, plural } from "./format.js";
import { prefs } from "./prefs.js";
import { isSelector } from "./state.js";

const formats = [
  ["event", "Event, as the API has it"], ["cloudevents", "CloudEvents"], ["slack", "Slack message"], ["teams", "Teams card"], ["template", "Template of your own"],
];
const statuses = ["created", "modified", "deleted"];
const own = ["class", "dn", "status"]; // selectors that have a field
const looked = 5; // matching events to preview

const listOf = (text) => text.split(",").map((s) => s.trim()).filter(Boolean);

export class WebhookForm {
  // on: saved(view), cancel(). hook is the one to change, null for a new one.
  constructor(app, hook, on) {
    this.app = app;
    this.hook = hook;
    this.on = on;
    this.errors = new Map(); // param → element
    this.generation = 0;
    this.others = Object.entries(hook ?? {}).filter(([name]) => isSelector(name) && !own.includes(name)).map(([name, v]) => [name, [].concat(v).join(",")]);
    this.dropped = []; // selectors and headers that were taken away
    this.el = h("div", { class: "hook-edit" }, this.#form(), this.#preview());
    this.#fill(hook ?? {});
    this.look();
  }

  // ---- The fields

  #form() {
    const id = (name) => `hook-${name}`;
    const problem = (param) => {
      const el = h("p", { class: "form-message", id: `hook-error-${param}`, role: "alert", hidden: true });
      this.errors.set(param, el);
      return el;
    };
    const field = (label, input, hint, param = input.name) => {
      input.id = id(param);
      input.setAttribute("aria-describedby", `hook-error-${param}${hint ? ` hook-hint-${param}` : ""}`);
      return h("div", { class: "field" }, h("label", { for: input.id }, label), input, hint && h("span", { class: "hint", id: `hook-hint-${param}` }, hint), problem(param));
    };
    const text = (name, props = {}) => h("input", { type: "text", name, spellcheck: "false", autocomplete: "off", autocapitalize: "off", ...props });
    const check = (name, label) => h("label", { class: "check-field" }, h("input", { type: "checkbox", name }), label);
    const options = (list) => list.map(([v, l]) => h("option", { value: v }, l));

    this.preset = h("select", { name: "preset", onchange: () => this.#choose() }, h("option", { value: "" }, "none"));
    this.format = h("select", { name: "format", onchange: () => this.#arrange() }, options(formats));
    this.template = h("textarea", { name: "template", rows: "9", spellcheck: "false", autocapitalize: "off", placeholder: '{"text": {{json (summary .)}}}' });
    const bar = h("div", { class: "filterbar" });
    this.templateField = h("div", { class: "form-part" },
      field("Template", this.template, "A Go template over the names of the JSON: {{json .dn}}, {{.path.tenant}}, {{summary .}}."),
      field("Content type of what it makes", text("contentType", { placeholder: "application/json" })));
    this.headers = h("div", { class: "header-rows" });
    const part = (title, ...children) => h("fieldset", { class: "form-part" }, h("legend", {}, title), children);

    this.form = h("form", { class: "hook-form", novalidate: true, "aria-label": this.hook ? "Change the webhook" : "New webhook" },
      part("Where to",
        field("Name", text("name", { placeholder: "the host, when empty", maxlength: "100" })),
        field("Preset", this.preset, "fills in what a known system needs"),
        field("URL", text("url", { inputmode: "url" }), this.hook ? "*** stands for what is not shown: leave it to keep it" : "http or https; credentials belong into headers, not into the URL")),
      part("Which events",
        field("Classes", text("class", { placeholder: "all that are subscribed", list: "hook-classes" }), "APIC classes, with commas between"),
        h("datalist", { id: "hook-classes" }, classes.map((c) => h("option", { value: c.name }, c.about))),
        field("DN", text("dn", { placeholder: "uni/tn-prod/**" }), "one object, a prefix ending in /, or a pattern; with commas between"),
        h("div", { class: "field", role: "group", "aria-label": "Status" }, h("span", {}, "Status"), h("div", { class: "checks" }, statuses.map((s) => check(`status-${s}`, s))), h("span", { class: "hint" }, "none chosen: all of them"), problem("status")),
        h("div", { class: "field" }, h("span", {}, "Filter"), bar, h("span", { class: "hint" }, "the language of the events view"))),
      part("Format",
        field("Body", this.format), this.templateField,
        h("div", { class: "add-row" }, field("Events in a request, at the most", text("batch", { inputmode: "numeric", size: "6" })),
          h("div", { class: "field" }, h("span", {}, "Object"), check("include", "send the whole object with each event"), problem("include")))),
      part("Delivery",
        h("div", { class: "field" }, h("span", {}, "Headers"), this.headers,
          h("p", {}, button({ icon: "plus", text: "Add a header", class: "", onclick: () => this.#header("", "", true) })), h("span", { class: "hint" }, "Values are not shown again."), problem("headers")),
        this.hook ? null : field("Begin at", text("since", { placeholder: "latest", list: "hook-places" }), "a place: latest, an age (15m, 24h), a time, an id, earliest"),
        h("datalist", { id: "hook-places" }, ["latest", "15m", "1h", "24h", "earliest"].map((v) => h("option", { value: v }))),
        this.hook ? null : field("Secret", text("secret", { placeholder: "is made, when empty" }), "whsec_… ; it signs each request"),
        field("Retry for", text("retryFor", { placeholder: "24h" }), "how long a message is tried, 1m to 168h; then the webhook is disabled and keeps its place"),
        check("enabled", "deliver (without it, the webhook waits at its place)"), problem("enabled")),
      this.message = h("p", { class: "form-message", role: "alert", hidden: true }),
      h("p", { class: "actions" }, this.submit = h("button", { type: "submit", class: "primary" }, this.hook ? "Save" : "Add the webhook"), h("button", { type: "button", onclick: () => this.on.cancel() }, "Cancel")));
    this.bar = new FilterBar(bar, {
      label: "Filter of the webhook", placeholder: "every event of these classes", sign: icon("filter"), vocabulary: this.app.vocabulary,
      apply: async () => { this.edited = true; const p = await this.look(); return p?.errors.some((e) => e.param === "filter") ? p : null; },
    });
    this.form.addEventListener("submit", (e) => { e.preventDefault(); this.save(); });
    this.form.addEventListener("input", () => {
      this.edited = true;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.look(), 350);
    });
    this.form.addEventListener("change", () => this.look());
    return this.form;
  }

  field(name) { return this.form.elements.namedItem(name); }

  async presets(list) {
    this.list = list;
    fill(this.preset, h("option", { value: "" }, "none"), list.map((p) => h("option", { value: p.name }, p.title)));
    const generic = list.find((p) => p.name === "generic");
    if (generic && !this.field("url").placeholder) this.field("url").placeholder = generic.url;
  }

  #fill(v) {
    for (const name of ["name", "url", "template", "contentType", "retryFor"]) if (this.field(name)) this.field(name).value = v[name] ?? "";
    this.field("class").value = (v.class ?? []).join(", ");
    this.field("dn").value = (v.dn ?? []).join(", ");
    for (const s of statuses) this.field(`status-${s}`).checked = (v.status ?? []).includes(s);
    this.format.value = v.format ?? "event";
    this.field("batch").value = String(v.batch ?? 1);
    this.field("include").checked = v.include === "object";
    this.field("enabled").checked = v.enabled ?? true;
    this.bar.set(v.filter ?? "");
    this.#chips();
    for (const name of Object.keys(v.headers ?? {})) this.#header(name, "***");
    this.#arrange();
  }

  #chips() {
    this.bar.selectors(this.others, (i) => {
      this.dropped.push(this.others[i][0]);
      this.others.splice(i, 1);
      this.#chips();
      this.look();
    });
  }

  #choose() {
    const p = this.list?.find((x) => x.name === this.preset.value);
    if (!p) return;
    this.format.value = p.format;
    this.template.value = p.template ?? "";
    this.field("contentType").value = p.contentType ?? "";
    this.field("include").checked = p.include === "object";
    this.field("batch").value = "1";
    this.field("url").placeholder = p.url;
    const have = new Set(this.#headerRows().map(([name]) => name.toLowerCase()));
    for (const [name, form] of Object.entries(p.headers)) if (!have.has(name.toLowerCase())) this.#header(name, "", false, form);
    this.#arrange();
  }

  #arrange() { this.templateField.hidden = this.format.value !== "template"; }

  #header(name, value, focus = false, form = "") {
    const kept = value === "***";
    const remove = () => {
      const n = row.children[0].value.trim();
      if (this.hook?.headers?.[n]) this.dropped.push(`header ${n}`);
      row.remove();
      this.look();
    };
    const row = h("div", { class: "header-row" },
      h("input", { type: "text", "aria-label": "Name of the header", placeholder: "Authorization", value: name, readonly: kept, spellcheck: "false", autocomplete: "off" }),
      h("input", { type: "text", "aria-label": `Value of ${name || "the header"}`, placeholder: kept ? "*** (kept as it is)" : form || "Bearer …", value: kept ? "" : value, spellcheck: "false", autocomplete: "off" }),
      button({ icon: "close", label: `Remove ${name || "the header"}`, onclick: remove }));
    row.kept = kept;
    this.headers.append(row);
    if (focus) row.children[0].focus();
  }

  #headerRows() {
    return [...this.headers.children].map((row) => [row.children[0].value.trim(), row.children[1].value, row.kept]).filter(([name, value]) => name || value);
  }

  // ---- The definition

  get filter() {
    const text = this.bar.text.trim();
    return plain(text) ? search(text) : text;
  }

  #selectors() {
    const s = { class: listOf(this.field("class").value), dn: listOf(this.field("dn").value), status: statuses.filter((x) => this.field(`status-${x}`).checked) };
    for (const [name, value] of this.others) s[name] = listOf(value);
    if (this.filter) s.filter = this.filter;
    return s;
  }

  // definition is the body of the call: whole for a new webhook, a patch for one
  // that exists. With draft it leaves out what is for saving only.
  definition(draft = false) {
    const change = Boolean(this.hook);
    const d = {};
    const set = (name, value, none) => { if (value !== none) d[name] = value; else if (change) d[name] = null; };
    const value = (name) => this.field(name)?.value.trim() ?? "";
    set("name", value("name"), "");
    if (value("url") || !draft) d.url = value("url");
    const s = this.#selectors();
    for (const name of [...own, "filter"]) set(name, s[name]?.length ? s[name] : "", "");
    for (const [name] of this.others) d[name] = s[name];
    if (change) for (const name of this.dropped) if (!name.startsWith("header ")) d[name] = null;
    d.format = this.format.value;
    if (d.format === "template") {
      d.template = this.template.value;
      set("contentType", value("contentType"), "");
    }
    const batch = value("batch");
    d.batch = /^\d+$/.test(batch) ? Number(batch) : batch === "" ? 1 : batch;
    set("include", this.field("include").checked ? "object" : "", "");
    const rows = this.#headerRows();
    if (rows.length > 0 || change) {
      d.headers = {};
      if (change) for (const name of this.dropped) if (name.startsWith("header ")) d.headers[name.slice(7)] = null;
      for (const [name, v, kept] of rows) d.headers[name] = kept && v === "" ? "***" : v;
    }
    set("retryFor", value("retryFor"), "");
    d.enabled = this.field("enabled").checked;
    if (!change && !draft) {
      if (value("since")) d.since = value("since");
      if (value("secret")) d.secret = value("secret");
    }
    return d;
  }

  async save() {
    clearTimeout(this.timer);
    this.submit.disabled = true;
    try {
      const body = this.definition();
      const v = this.hook ? await patch(`/webhooks/${encodeURIComponent(this.hook.id)}`, body) : await post("/webhooks", null, body);
      this.on.saved(v);
    } catch (e) {
      this.#wrong(e);
      const first = [...this.form.querySelectorAll('[aria-invalid="true"]')][0];
      first?.focus();
    } finally {
      this.submit.disabled = false;
    }
  }

  // #wrong shows what the server says at the fields that it is about.
  #wrong(problem) {
    for (const [param, el] of this.errors) {
      const mine = problem?.errors?.filter((e) => e.param === param) ?? [];
      el.hidden = mine.length === 0;
      el.textContent = mine.map((e) => clean(`${e.line > 1 || e.column ? `Line ${e.line}, column ${e.column}: ` : ""}${e.detail}`)).join("; ");
      const input = this.field(param);
      if (input?.setAttribute) input.setAttribute("aria-invalid", String(mine.length > 0));
    }
    const filter = problem?.errors?.some((e) => e.param === "filter");
    if (filter) this.bar.fail(problem);
    else if (!this.bar.error.hidden) this.bar.fail(null);
    const placed = new Set([...this.errors.keys(), "filter"]);
    const rest = problem ? problem.errors?.length ? problem.errors.filter((e) => !placed.has(e.param)).map((e) => `${e.param} ${e.detail}`) : [problem.message] : [];
    this.message.hidden = rest.length === 0;
    this.message.textContent = clean(rest.join("; "));
  }

  // ---- What it would send

  #preview() {
    this.pick = h("select", { "aria-label": "Event to preview", hidden: true, onchange: () => this.#render() });
    this.says = h("p", { class: "hint", role: "status" });
    this.request = h("p", { class: "dn request-line" });
    this.body = h("pre", { class: "json preview-body", tabindex: "0", "aria-label": "Body of the request" });
    return h("section", { class: "preview card", "aria-label": "Preview" }, h("div", { class: "add-head" }, h("h3", {}, "Preview"), h("span", { class: "push" }), this.pick), this.says, this.request, this.body);
  }

  // look finds the newest events that match and shows what would be sent of
  // them. The answer is the Problem, if there is one.
  async look() {
    clearTimeout(this.timer);
    const generation = ++this.generation;
    const key = JSON.stringify(this.#selectors());
    if (key !== this.lookedFor) {
      const q = new URLSearchParams({ order: "desc", limit: String(looked), kind: "event" });
      for (const [name, v] of Object.entries(this.#selectors())) if (v.length > 0) q.set(name, [].concat(v).join(","));
      let found = null;
      try {
        found = (await entries(q, looked)).events;
      } catch (e) {
        if (e.status !== 400) this.says.textContent = e.message; // else the preview says what is wrong
      }
      if (generation !== this.generation) return null;
      this.matches = found;
      this.lookedFor = found ? key : "";
      const before = this.pick.value;
      fill(this.pick, (found ?? []).map((e) => h("option", { value: e.id }, `${day(Date.parse(e.time), prefs.utc)} ${clock(Date.parse(e.time), prefs.utc, false)} ${e.class} ${e.status}`)));
      if ([...this.pick.options].some((o) => o.value === before)) this.pick.value = before;
    }
    return this.#render(generation);
  }

  async #render(generation = ++this.generation) {
    const d = this.definition(true);
    const found = this.matches ?? [];
    const many = Number(d.batch) > 1 && found.length > 1;
    this.pick.hidden = found.length < 2 || many;
    const ids = many ? found.map((e) => e.id).reverse() : found.length > 0 ? [Number(this.pick.value) || found[0].id] : [];
    const q = new URLSearchParams();
    if (this.hook) q.set("webhook", this.hook.id);
    if (ids.length > 0) q.set("event", ids.join(","));
    let a;
    try {
      a = await post("/webhooks/preview", q, d);
    } catch (e) {
      if (generation !== this.generation) return null;
      this.el.classList.add("stale");
      this.body.setAttribute("aria-label", "Body of the request, as it was before");
      this.says.textContent = e.errors?.length > 0 ? `What is marked stands in the way of a preview${this.body.textContent ? "; below is the last one that there was" : ""}.` : e.message;
      this.#wrong(e instanceof Problem ? e : null);
      return e instanceof Problem ? e : null;
    }
    if (generation !== this.generation) return null;
    this.el.classList.remove("stale");
    this.body.setAttribute("aria-label", "Body of the request");
    this.#wrong(null);
    const n = a.events.length;
    this.says.textContent = a.skipped ? "The template makes nothing of this event, so nothing would be sent." : n === 0
      ? this.matches ? "No logged event matches, so this is made of a sample." : "This is made of a sample."
      : n === 1 ? "What would be sent of an event that matches." : `One request with the newest ${plural(n, "event")} that match.`;
    const { request } = a;
    fill(this.request, h("b", {}, request.method), " ", request.url ? clean(request.url) : "(no URL yet)", h("span", { class: "hint" }, ` ${clean(request.contentType)}`));
    this.body.textContent = lines(pretty(request.body, request.contentType));
    this.body.hidden = a.skipped;
    return null;
  }
}

// pretty writes JSON over several lines; anything else stays as it is.
export function pretty(body, type) {
  if (!/json/.test(type)) return body;
  try { return JSON.stringify(JSON.parse(body), null, 2); } catch { return body; }
}
