// The view of webhooks: where events are sent, how that goes, and changing it.

import { del, entries, get, local, now, patch, post } from "./api.js";
import { $, announce, button, clean, copy, fill, h, held, icon, lines, toast } from "./dom.js";
import { ago, clock, count, day, duration, plural, stamp, time } from "./format.js";
import { choose, dialog, menu } from "./palette.js";
import { prefs } from "./prefs.js";
import { isSelector } from "./state.js";
import { WebhookForm, pretty } from "./webhookform.js";

const states = ["active", "failing", "disabled"];
const page = 50; // attempts at once

export class Webhooks {
  constructor(app) {
    this.app = app;
    this.el = $("view-webhooks");
    this.list = null; // as the service last told it
    this.form = null;
  }

  // ---- What is shown: the list, one webhook, or its form

  async show(state) {
    const { hook, edit } = state;
    const key = !hook ? "list" : hook === "new" ? "form new" : edit ? `form ${hook}` : `one ${hook}`;
    if (key !== this.key) {
      this.key = key;
      this.drawn = this.loaded = "";
      this.deliveries = null;
      this.want = page; // how many attempts are shown
      this.el.scrollTop = 0;
    }
    if (key.startsWith("form") && this.app.readonly) return this.app.go({ hook: hook === "new" ? "" : hook, edit: "" });
    if (key.startsWith("form")) await this.#openForm(hook);
    else await this.refresh(true);
    return null;
  }

  open(hook, edit = "") { return this.app.go({ view: "webhooks", hook, edit }); }

  add() { if (!this.app.readonly) this.open("new"); }

  // escape leads out; what was typed into a form is kept for who comes back.
  escape() {
    const { hook, edit } = this.app.state;
    if (hook) return this.open(edit && hook !== "new" ? hook : "");
  }

  commands() {
    const list = (this.list ?? []).map((v) => ({ group: "Webhook", label: clean(v.name), about: v.state, run: () => this.open(v.id) }));
    if (!this.app.readonly) list.push({ group: "Do", label: "Add a webhook", about: "send events to another system", run: () => this.open("new") });
    return list;
  }

  redraw() { this.drawn = ""; this.#draw(); }

  // refresh asks how things are; a form is left alone.
  async refresh(force = false) {
    if (this.key?.startsWith("form") || this.asking && !force) return;
    const key = this.key;
    this.asking = true;
    try {
      const { webhooks } = await get("/webhooks");
      if (key !== this.key) return;
      this.list = webhooks;
      this.problem = null;
      const v = this.current;
      if (v && this.loaded !== `${v.id} ${v.delivered} ${v.attempt} ${v.lastSuccessAt} ${v.state}`) await this.#attempts(v, key);
    } catch (e) {
      if (key !== this.key) return;
      this.problem = e;
    } finally {
      this.asking = false;
    }
    this.#draw();
  }

  get current() { return this.list?.find((v) => v.id === this.app.state.hook) ?? null; }

  async #attempts(v, key = this.key) {
    const a = await get(`/webhooks/${encodeURIComponent(v.id)}/deliveries`, new URLSearchParams({ limit: String(page) }));
    if (key !== this.key) return;
    this.loaded = `${v.id} ${v.delivered} ${v.attempt} ${v.lastSuccessAt} ${v.state}`;
    // Older pages that were asked for stay, unless so many attempts came since
    // that there would be a hole before them.
    const last = a.deliveries.at(-1)?.seq ?? 0;
    const older = (this.deliveries?.[0]?.seq ?? 0) >= last ? this.deliveries.filter((d) => d.seq < last) : [];
    const all = [...a.deliveries, ...older];
    this.deliveries = all.slice(0, this.want);
    if (all.length > this.want) this.more = `/webhooks/${encodeURIComponent(v.id)}/deliveries?before=${this.deliveries.at(-1).seq}&limit=${page}`;
    else if (older.length === 0) this.more = a.next ?? "";
  }

  async #older() {
    try {
      const call = this.more, a = await get(local(call));
      if (call !== this.more) return this.#older(); // new attempts have moved the end meanwhile
      this.want += page;
      this.deliveries.push(...a.deliveries);
      this.more = a.next ?? "";
    } catch (e) { toast(e.message, "bad"); }
    this.#draw();
  }

  // put draws a part anew when it says something else than before, so that
  // what has the focus stays.
  #put(el, ...children) {
    const next = h("div", {}, children);
    const sign = next.textContent + [...next.querySelectorAll("[href], [data-key]")].map((x) => x.getAttribute("href") ?? x.dataset.key).join();
    if (el.sign === sign || held(el)) return;
    el.sign = sign;
    const key = el.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const at = el.querySelector(".scroll-x")?.scrollLeft ?? 0;
    el.replaceChildren(...next.childNodes);
    if (at > 0) el.querySelector(".scroll-x").scrollLeft = at;
    if (key) el.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  #draw() {
    if (this.app.state.view !== "webhooks" || this.key?.startsWith("form")) return;
    if (this.drawn !== this.key) {
      this.drawn = this.key;
      this.parts = { head: h("div", { class: "hook-head" }), actions: h("div", { class: "hook-actions" }), body: h("div", { class: "hook-body" }), result: h("div", { role: "status" }), log: h("div", {}) };
      fill(this.el, h("div", { class: "page" }, Object.values(this.parts)));
      if (this.app.state.hook) this.#buildActions();
      // What had the focus is gone: the next Tab begins here, not at the top.
      if (document.activeElement === document.body) $("main").focus({ preventScroll: true });
    }
    if (this.problem) {
      this.#put(this.parts.head, h("h2", {}, "Webhooks"), h("p", { class: "notice bad", role: "alert" }, this.problem.status === 404 ? "This acitap has no webhooks." : clean(this.problem.message)));
      if (!this.list) return;
    } else if (!this.list) return this.#put(this.parts.head, h("h2", {}, "Webhooks"), h("p", { class: "hint" }, "Reading …"));
    if (this.app.state.hook) this.#drawOne();
    else this.#drawList();
  }

  // ---- The list

  #drawList() {
    const { head, body } = this.parts;
    const { list } = this;
    this.#put(head, h("h2", {}, "Webhooks"),
      h("p", { class: "hint" }, "Events in other people's systems: in order, at least once, signed. A receiver that does not take its events loses none and holds up nobody else."),
      this.app.readonly ? h("p", { class: "hint" }, "Your token may read. To change webhooks it needs the role operator.")
        : h("p", {}, h("button", { type: "button", class: "primary", dataset: { key: "add" }, title: "Add a webhook (a)", onclick: () => this.add() }, icon("plus"), h("span", {}, "Add a webhook"))));
    if (list.length === 0) return this.#put(body, h("div", { class: "card quiet-card" }, h("h3", {}, "None yet"), h("p", {}, "A webhook sends what happens to Slack, Teams, ServiceNow, PagerDuty, Ansible, StackStorm, or to a receiver of your own.")));
    const titles = ["State", "Name", "Events", "Lag", "Last success", "Delivered"];
    this.#put(body, h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "List of webhooks", dataset: { key: "list" } }, h("table", { class: "plain cards hooks" },
      h("thead", {}, h("tr", {}, titles.map((x, i) => h("th", { scope: "col", class: i === 5 ? "num" : null }, x)))),
      h("tbody", {}, list.map((v) => h("tr", {},
        h("td", {}, stateOf(v)),
        h("td", { class: "hook-name" }, h("a", { href: `/?view=webhooks&hook=${encodeURIComponent(v.id)}`, dataset: { key: v.id } }, h("bdi", {}, clean(v.name))), h("div", { class: "hint dn" }, clean(v.url)), why(v)),
        h("td", { class: "query" }, selectors(v), h("div", { class: "hint" }, v.format, v.batch > 1 ? `, up to ${count(v.batch)} in a request` : "")),
        h("td", { class: "when", "data-label": "lag" }, lag(v), h("div", { class: "hint", title: "Its place: all up to this id is done with" }, `at ${v.place}`)),
        h("td", { class: "when", "data-label": "last success" }, ago(time(v.lastSuccessAt), now())),
        h("td", { class: "num", "data-label": "delivered" }, count(v.delivered))))))));
  }

  // ---- One webhook

  #buildActions() {
    if (this.app.readonly) return;
    const act = (name, text, run) => button({ icon: name, text, class: "", onclick: (e) => run(e.currentTarget), dataset: { key: text } });
    this.switch = act("pause", "Disable", () => this.#enable());
    this.testButton = act("send", "Test", (b) => this.#testMenu(b));
    this.testButton.setAttribute("aria-haspopup", "menu");
    this.testButton.setAttribute("aria-expanded", "false");
    fill(this.parts.actions, h("div", { class: "actions wrap", role: "group", "aria-label": "Actions" }, this.testButton, act("edit", "Edit", () => this.open(this.current.id, "1")), this.switch,
      act("rewind", "Move its place", () => this.#rewind()), act("key", "New secret", () => this.#rotate()),
      h("button", { type: "button", class: "danger", onclick: () => this.#remove() }, icon("trash"), h("span", {}, "Delete"))));
  }

  #drawOne() {
    const { head, actions, body, log } = this.parts;
    const v = this.current;
    const back = h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "/?view=webhooks", dataset: { key: "back" } }, "Webhooks"), h("span", { "aria-hidden": "true" }, " › "));
    if (!v) {
      actions.hidden = true;
      return this.#put(head, back, h("h2", {}, "There is no such webhook"), h("p", {}, "It has been deleted, or the link is of another acitap."));
    }
    actions.hidden = false;
    this.#put(head, back, h("h2", {}, h("bdi", {}, clean(v.name))), h("p", { class: "hook-state" }, stateOf(v), why(v)),
      this.app.readonly && h("p", { class: "hint" }, "Your token may read. To change webhooks it needs the role operator."));
    if (this.switch && this.switch.on !== v.enabled) {
      this.switch.on = v.enabled;
      fill(this.switch, icon(v.enabled ? "pause" : "play"), h("span", {}, v.enabled ? "Disable" : "Enable"));
      this.switch.title = v.enabled ? "Stop delivering; its place is kept" : "Deliver again, from its place";
    }
    const at = (s) => time(s) ? `${stamp(time(s), prefs.utc).replace(/\.\d+/, "")} · ${ago(time(s), now())}` : "never";
    const fact = (name, value, hint) => value == null || value === "" ? null : h("div", {}, h("dt", {}, name), h("dd", {}, value, hint && h("div", { class: "hint" }, hint)));
    this.#put(body, h("section", { class: "card", "aria-label": "How it is" }, h("dl", { class: "facts" },
      fact("URL", h("span", { class: "dn" }, clean(v.url))), fact("Events", selectors(v)),
      fact("Format", v.format + (v.include ? ", with the whole object" : ""), v.batch > 1 ? `up to ${count(v.batch)} events in a request` : "one event in a request"),
      fact("Headers", Object.keys(v.headers).map(clean).join(", "), Object.keys(v.headers).length > 0 && "values are not shown"),
      fact("Lag", lag(v)), fact("Its place", h("a", { href: `/?event=${v.place}`, dataset: { key: "place" } }, String(v.place)), "all up to it is done with"),
      fact("Last success", at(v.lastSuccessAt)), fact("Delivered", count(v.delivered), v.skipped > 0 && `${count(v.skipped)} of which the template made nothing`),
      v.attempt > 0 && fact("Next try", at(v.nextTry), `failing since ${ago(time(v.failingSince), now())}; it is disabled after ${v.retryFor} of that`),
      fact("Changed", at(v.updatedAt)))));
    this.#drawLog(log, v);
  }

  #drawLog(el, v) {
    const list = this.deliveries ?? [];
    const open = new Set([...el.querySelectorAll("details[open]")].map((d) => d.dataset.key));
    const can = !this.app.readonly;
    const when = (d) => `${day(Date.parse(d.time), prefs.utc) === day(now(), prefs.utc) ? "" : day(Date.parse(d.time), prefs.utc) + " "}${clock(Date.parse(d.time), prefs.utc)}`;
    this.#put(el, h("section", { class: "deliveries", "aria-label": "Deliveries" }, h("h3", {}, "Deliveries"),
      list.length === 0 ? h("p", { class: "hint" }, this.deliveries ? "Nothing was sent yet." : "Reading …")
        : h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Log of deliveries", dataset: { key: "log" } }, h("table", { class: "plain cards log" },
          h("thead", {}, h("tr", {}, ["Answer", "When", "Event", "Attempt", "Took", "What came back", ...(can ? [""] : [])].map((x, i) => h(x ? "th" : "td", { scope: x ? "col" : null, class: i === 4 ? "num" : null }, x)))),
          h("tbody", {}, list.map((d) => h("tr", {},
            h("td", {}, outcome(d)), h("td", { class: "when" }, when(d)), h("td", { class: "when" }, eventsOf(d)),
            h("td", { class: "when", "data-label": "attempt" }, `${d.attempt}`, d.kind !== "delivery" && h("span", { class: "hint" }, ` ${d.kind === "redelivery" ? "sent again" : "test"}`)),
            h("td", { class: "num", "data-label": "took" }, took(d)),
            h("td", { class: "answer" }, d.error && h("div", { class: "error-text" }, clean(d.error)), d.answer ? h("details", { dataset: { key: `answer ${d.seq}` }, open: open.has(`answer ${d.seq}`) }, h("summary", {}, h("span", {}, clean(d.answer.slice(0, 200)))), h("pre", { class: "json" }, lines(d.answer))) : !d.error && h("span", { class: "hint" }, "nothing")),
            can && h("td", {}, d.events.length > 0 && button({ icon: "again", label: d.events.length === 1 ? `Send event ${d.events[0]} again` : "Send one of these again", onclick: () => this.#redeliver(v, d), dataset: { key: `again ${d.seq}` } }))))))),
      this.more && h("p", {}, h("button", { type: "button", dataset: { key: `older ${list.length}` }, onclick: () => this.#older() }, "Older ones")),
      h("p", { class: "hint" }, "The log holds the last 1,000 attempts for a week; of an answer its first KiB.")));
  }

  // ---- Doing

  async #do(run, said) {
    try {
      const v = await run();
      if (said) toast(typeof said === "function" ? said(v) : said);
      await this.refresh(true);
      return v;
    } catch (e) {
      toast(e.message, "bad");
      return null;
    }
  }

  path(v, more = "") { return `/webhooks/${encodeURIComponent(v.id)}${more}`; }

  #enable() {
    const v = this.current;
    return this.#do(() => patch(this.path(v), { enabled: !v.enabled }), v.enabled ? "Disabled; its place is kept" : "Enabled; it goes on from its place");
  }

  async #testMenu(anchor) {
    const v = this.current;
    let found = [];
    const q = new URLSearchParams({ order: "desc", limit: "5", kind: "event" });
    for (const [name, x] of Object.entries(v)) if (isSelector(name) || name === "filter") q.set(name, [].concat(x).join(","));
    try { found = (await entries(q, 5)).events; } catch { /* the sample is left */ }
    menu(anchor, "Test", [
      { heading: "Send now, out of turn" },
      { label: "A sample", about: "marked as a test", run: () => this.#test(v) },
      ...(found.length > 0 ? [{ heading: "Or one of the newest that match" }] : []),
      ...found.map((e) => ({ label: clean(`${e.class} ${e.status}`), about: clock(Date.parse(e.time), prefs.utc, false), run: () => this.#test(v, e.id) })),
    ]);
  }

  async #test(v, event = 0) {
    this.#said("Sending …");
    try {
      this.#came(await post(this.path(v, "/test"), new URLSearchParams(event ? { event: String(event) } : {})), "The test");
    } catch (e) { this.#said(e.message, true); }
    this.loaded = "";
    this.refresh(true);
  }

  async #redeliver(v, d) {
    const again = async (id) => {
      this.#said("Sending …");
      try {
        this.#came(await post(this.path(v, "/redeliver"), new URLSearchParams({ event: String(id) })), `Event ${id}`);
      } catch (e) { this.#said(e.message, true); }
      this.loaded = "";
      this.refresh(true);
    };
    if (d.events.length === 1) return again(d.events[0]);
    choose("Send one event again", d.events.map((id) => ({ label: String(id), run: () => again(id) })), { placeholder: "Id of the event" });
  }

  #said(text, bad = false) {
    fill(this.parts.result, h("p", { class: `notice ${bad ? "bad" : ""}` }, clean(text)));
    this.parts.result.scrollIntoView?.({ block: "nearest" });
  }

  // #came shows what an attempt out of turn sent and got.
  #came(a, what) {
    const says = a.skipped ? `${what} was not sent: the template makes nothing of it.` : a.ok ? `${what} was taken.` : `${what} was not taken.`;
    announce(says);
    fill(this.parts.result, h("section", { class: `card came ${a.ok || a.skipped ? "" : "bad"}`, "aria-label": "What came back" },
      h("div", { class: "add-head" }, h("h3", {}, says), h("span", { class: "push" }), button({ icon: "close", label: "Close", onclick: () => fill(this.parts.result) })),
      a.skipped ? null : h("p", {}, outcome(a), h("span", { class: "hint" }, ` after ${took(a)}`)), a.error && h("p", { class: "error-text" }, clean(a.error)),
      a.answer && [h("h4", {}, "Answer"), h("pre", { class: "json", tabindex: "0", "aria-label": "Answer" }, lines(a.answer))],
      a.request.body && h("details", {}, h("summary", {}, `What was sent to ${clean(a.request.url)}`), h("pre", { class: "json", tabindex: "0", "aria-label": "What was sent" }, lines(pretty(a.request.body, a.request.contentType))))));
  }

  #rewind() {
    const v = this.current;
    const input = h("input", { type: "text", id: "rewind-place", value: "1h", spellcheck: "false", autocomplete: "off", list: "rewind-places", "aria-describedby": "rewind-hint rewind-error" });
    const error = h("p", { class: "form-message", id: "rewind-error", role: "alert", hidden: true });
    const form = h("form", { novalidate: true }, h("p", { class: "hint" }, v.lag > 0 ? `It is ${lagText(v)}.` : "It has done with all there is."),
      h("div", { class: "field" }, h("label", { for: "rewind-place" }, "Go on behind"), input, h("span", { class: "hint", id: "rewind-hint" }, "an age (15m, 24h), a time, an id, earliest, or latest, which skips what waits"), error),
      h("datalist", { id: "rewind-places" }, ["15m", "1h", "24h", "earliest", "latest"].map((x) => h("option", { value: x }))),
      h("p", { class: "hint" }, "What lies between is sent again, in order; a receiver that drops ids it knows notices nothing."),
      h("p", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Move"), h("button", { type: "button", onclick: () => box.close() }, "Cancel")));
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      try {
        const a = await post(this.path(v, "/rewind"), new URLSearchParams({ since: input.value.trim() }));
        box.close();
        toast(a.lag > 0 ? `Moved; it looks at ${plural(a.lag, "entry", "entries")} again` : "Moved to the newest");
        this.refresh(true);
      } catch (problem) {
        error.hidden = false;
        error.textContent = problem.errors?.map((x) => x.detail).join("; ") || problem.message;
        input.setAttribute("aria-invalid", "true");
      }
    });
    const box = dialog("Move its place", "confirm", form);
    input.focus();
    input.select();
  }

  #rotate() {
    const v = this.current;
    this.#ask("Make a new secret?", [h("p", {}, h("b", {}, clean(v.name))), h("p", { class: "hint" }, "For 24 hours each request is signed with both, so that the receiver can change over. X-Hub-Signature-256 has the new one at once.")], "Make it", "primary", async () => {
      const fresh = await this.#do(() => post(this.path(v, "/rotate")), "");
      if (fresh) secret(fresh);
    });
  }

  #remove() {
    const v = this.current;
    this.#ask("Delete the webhook?", [h("p", {}, h("b", {}, clean(v.name)), " ", h("span", { class: "dn" }, clean(v.url))), h("p", { class: "hint" }, `Its place, its secret and its log go with it.${v.lag > 0 ? ` What it has not sent (it is ${lagText(v)}) is not sent any more.` : ""}`)], "Delete", "danger", async () => {
      const gone = await this.#do(async () => { await del(this.path(v)); return v; }, `${v.name} is deleted`);
      if (gone) this.open("");
    });
  }

  #ask(title, says, word, cls, run) {
    const box = dialog(title, "confirm", says, h("p", { class: "actions" }, h("button", { type: "button", class: cls, onclick: () => { box.close(); run(); } }, word), h("button", { type: "button", onclick: () => box.close() }, "Cancel")));
    box.querySelector(`.${cls}`).focus();
  }

  // ---- The form

  async #openForm(hook) {
    const key = this.key;
    if (this.form?.key === key) { // what was typed is kept while one looks elsewhere
      if (!this.el.contains(this.form.el)) this.#frameForm();
      return;
    }
    let v = null;
    try {
      if (hook !== "new") v = await get(`/webhooks/${encodeURIComponent(hook)}`);
    } catch (e) {
      if (key !== this.key) return;
      return fill(this.el, h("div", { class: "page" }, h("h2", {}, "The webhook could not be read"), h("p", { class: "notice bad" }, clean(e.message)), h("p", {}, h("a", { href: "/?view=webhooks" }, "All webhooks"))));
    }
    if (key !== this.key) return;
    this.form = new WebhookForm(this.app, v, { saved: (saved) => this.#saved(saved), cancel: () => this.#cancel() });
    this.form.key = key;
    this.form.named = v?.name ?? "";
    this.#frameForm();
    this.form.field("name").focus({ preventScroll: true });
    get("/webhooks/presets").then((a) => this.form?.presets(a.presets)).catch(() => { /* without presets, then */ });
  }

  #frameForm() {
    const { named } = this.form;
    this.drawn = "";
    fill(this.el, h("div", { class: "page wide-page" }, h("div", { class: "hook-head" }, h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "/?view=webhooks" }, "Webhooks"), h("span", { "aria-hidden": "true" }, " › ")),
      h("h2", {}, named ? ["Edit ", h("bdi", {}, clean(named))] : "Add a webhook")), this.form.el));
  }

  #saved(v) {
    this.form = null;
    toast(`${v.name} is saved`);
    this.open(v.id);
    if (v.secret) secret(v);
  }

  #cancel() {
    const { hook } = this.app.state;
    this.form = null;
    this.open(hook === "new" ? "" : hook);
  }
}

function stateOf(v) { return h("span", { class: `state ${states.includes(v.state) ? v.state : ""}` }, v.state); }

function why(v) {
  if (v.error) return h("div", { class: "error-text" }, clean(v.error), v.attempt > 1 ? ` (${count(v.attempt)} attempts)` : "");
  return v.state === "disabled" ? h("div", { class: "hint" }, "switched off; its place is kept") : null;
}

const lagText = (v) => `${plural(v.lag, "entry", "entries")} behind${v.lagSeconds >= 1 ? `, ${duration(v.lagSeconds * 1000)}` : ""}`;
const lag = (v) => v.lag === 0 ? "none" : `${plural(v.lag, "entry", "entries")}${v.lagSeconds >= 1 ? `, ${duration(v.lagSeconds * 1000)}` : ""}`;

function selectors(v) {
  const list = Object.entries(v).filter(([name]) => isSelector(name)).map(([name, x]) => [name, [].concat(x).join(", ")]);
  if (v.filter) list.push(["filter", v.filter]);
  return list.length === 0 ? "all" : list.map(([name, x]) => h("div", { class: "selector" }, name === "class" || name === "filter" ? null : h("span", { class: "hint" }, `${clean(name)} `), h("code", {}, clean(x))));
}

function outcome(d) {
  return h("span", { class: `outcome ${d.ok ? "ok" : "bad"}` }, d.status ? `${d.status}` : "no answer", h("span", { class: "unseen" }, d.ok ? " taken" : " failed"));
}

const took = (d) => d.durationMs < 1 ? "< 1 ms" : duration(d.durationMs);

function eventsOf(d) {
  if (d.events.length === 0) return h("span", { class: "hint" }, d.kind === "test" ? "a sample" : "–");
  const link = (id) => h("a", { href: `/?event=${id}`, dataset: { key: `event ${d.seq} ${id}` } }, String(id));
  return d.events.length === 1 ? link(d.events[0]) : [link(d.events[0]), h("span", { class: "hint" }, ` and ${count(d.events.length - 1)} more`)];
}

// secret shows a secret, which the service tells once only.
function secret(v) {
  const box = dialog("The secret", "confirm secret", h("p", {}, "Receivers of ", h("b", {}, clean(v.name)), " check signatures with it. It is shown this once."),
    h("p", { class: "secret-text" }, h("code", { tabindex: "0" }, v.secret)),
    h("p", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: () => copy(v.secret, "Secret") }, icon("copy"), h("span", {}, "Copy")), h("button", { type: "button", onclick: () => box.close() }, "I have it")));
  box.querySelector(".primary").focus();
}
