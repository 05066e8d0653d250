// The view of the session: how acitap stands with the fabric.

import { get, now } from "./api.js";
import { $, clean, fill, h } from "./dom.js";
import { gapText } from "./events.js";
import { ago, count, day, clock, duration, stamp, time } from "./format.js";
import { prefs } from "./prefs.js";

export class Session {
  constructor(app) { this.app = app; }

  show() {
    this.draw();
    this.#gaps();
    return null;
  }

  async #gaps() {
    try {
      this.gaps = (await get("/events", new URLSearchParams({ kind: "gap", order: "desc", limit: "50" }))).events;
    } catch (e) {
      this.gapsError = e.message;
    }
    this.draw();
  }

  draw() {
    if (this.app.state?.view !== "session") return;
    const el = $("session");
    const { fabrics, sessionError } = this.app;
    if (!fabrics) {
      fill(el, h("h2", {}, "Session"), h("p", { class: "hint" }, sessionError ?? "Reading …"));
      return;
    }
    const at = (s) => time(s) ? [stamp(time(s), prefs.utc).replace(/\.\d+/, ""), h("span", { class: "hint" }, ` ${ago(time(s), now())}`)] : "never";
    const fact = (name, value, hint) => value == null || value === "" ? null : h("div", {}, h("dt", {}, name), h("dd", {}, value, hint && h("div", { class: "hint" }, hint)));
    const next = (f) => {
      const list = [];
      if (time(f.nextTry) > now() - 5000 && f.state !== "connected") list.push(`The next try to connect is ${ago(time(f.nextTry), now())}.`);
      if (f.state === "failed") list.push("The APIC refuses the credentials or the certificate: correct APIC_LOGIN and APIC_PASSWORD, or what is trusted, and restart. It is tried rarely, so that no account is locked.");
      if (f.state !== "connected") return list;
      if (time(f.tokenRenewsAt)) list.push(`The token is renewed ${time(f.tokenRenewsAt) > now() + 1000 ? `in about ${duration(time(f.tokenRenewsAt) - now())}` : "now"}; it would end ${ago(time(f.tokenExpiresAt), now())}.`);
      else if (time(f.tokenExpiresAt)) list.push(`The token ends ${ago(time(f.tokenExpiresAt), now())}.`);
      list.push("Subscriptions are refreshed one after the other, each at a third of its life.");
      if (time(f.endsAt)) list.push(`The session ends ${ago(time(f.endsAt), now())}, whatever is renewed; the next one takes over before, without a gap.`);
      return list;
    };
    const controllers = (f) => {
      const list = f.controllers?.length > 0 ? f.controllers : [f.controller];
      if (list.length < 2) return clean(list[0] ?? "");
      return h("ul", { class: "controllers" }, list.map((c) => {
        const used = c === f.controller;
        return h("li", {}, h("span", { class: `state ${used ? f.state === "connected" ? "connected" : "connecting" : ""}` }, clean(c)), h("span", { class: "hint" }, used ? f.state === "connected" ? " in use" : " is tried" : " not in use"));
      }));
    };
    fill(el, h("h2", {}, "Session"), sessionError ? h("p", { class: "notice bad" }, sessionError) : null,
      fabrics.map((f) => h("section", { class: "card" },
        h("h3", {}, h("span", { class: `state ${["connected", "connecting", "backoff", "failed"].includes(f.state) ? f.state : ""}` }, clean(f.name)), " ", h("span", { class: "hint" }, f.state)),
        f.lastError && h("p", { class: f.state === "connected" ? "hint" : "error-text" }, f.state === "connected" ? "Last trouble: " : "", clean(f.lastError)),
        h("dl", { class: "facts" },
          fact(f.controllers?.length > 1 ? "Controllers" : "Controller", controllers(f), f.controllers?.length > 1 && "when the one in use is lost, the one that failed least is next"), fact("User", clean(f.user ?? "")), fact("APIC release", clean(f.apicVersion ?? "")), fact("Connected since", at(f.connectedSince)),
          fact("Last frame", at(f.lastFrameAt)), fact("Last proof of life", at(f.lastProofOfLife), "of the session, by ping, heartbeat or frame"),
          fact("Renewals of the token", count(f.tokenRenewals ?? 0), "since acitap began"), fact("Refreshes of subscriptions", count(f.refreshes ?? 0), "since acitap began"),
          fact("Reconnects", count(f.reconnects ?? 0)), fact("Comparisons after an outage", count(f.resyncs ?? 0)), fact("Gaps", count(f.gaps ?? 0))),
        h("h4", {}, "What comes next"), h("ul", { class: "next" }, next(f).map((t) => h("li", {}, t))))),
      h("section", { class: "card" }, h("h3", {}, "Gaps"),
        !this.gaps ? h("p", { class: "hint" }, this.gapsError ?? "Reading …") : this.gaps.length === 0 ? h("p", { class: "hint" }, "None in the log: nothing was ever out of sight.")
          : h("ul", { class: "gap-list" }, this.gaps.map((g) => h("li", {}, h("time", {}, `${day(Date.parse(g.time), prefs.utc)} ${clock(Date.parse(g.time), prefs.utc, false)}`), h("span", {}, clean(gapText(g, prefs.utc))),
            h("a", { href: `/?since=${new Date((time(g.from) || Date.parse(g.time)) - 30_000).toISOString()}&until=${new Date(Date.parse(g.time) + 30_000).toISOString()}&event=${g.id}` }, "what was found"))))),
      h("p", { class: "hint" }, `acitap ${$("main").dataset.version}`));
  }
}
