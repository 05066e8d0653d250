// Reads the stream of events on a thread of its own and hands over rows in
// batches, so that thousands a second cost the page a few milliseconds.

import { Parser } from "./sse.js";
import { remember, toRow } from "./row.js";

let current = null; // of the stream that is open

onmessage = ({ data }) => {
  if (data.stop || data.start) current?.stop();
  if (data.start) {
    current = new Stream(data.start);
    current.run();
  }
  if (data.severities) for (const [dn, severity] of data.severities) remember(dn, severity);
};

class Stream {
  constructor({ query, after, generation }) {
    this.query = query;
    this.after = after; // id of the newest entry, "" for none
    this.generation = generation;
    this.rows = [];
    this.stopped = false;
    this.abort = null;
    this.lastByte = 0;
  }

  say(message) { if (!this.stopped) postMessage({ generation: this.generation, ...message }); }

  stop() {
    this.stopped = true;
    this.abort?.abort();
    clearInterval(this.timer);
  }

  async run() {
    let pause = 500;
    // Silence is not health: the server writes at least every 15 seconds.
    this.timer = setInterval(() => { if (this.abort && this.lastByte && Date.now() - this.lastByte > 40_000) this.abort.abort(new Error("silent for 40 s")); }, 5000);
    while (!this.stopped) {
      let reason = "the connection ended";
      try {
        const began = Date.now();
        await this.once();
        if (Date.now() - began > 10_000) pause = 500;
      } catch (e) {
        if (this.stopped) return;
        if (e.problem && [400, 401, 403, 404].includes(e.problem.status)) {
          this.say({ refused: e.problem });
          return;
        }
        if (this.hadData) pause = 500;
        reason = e.problem ? e.problem.detail : e.message === "Failed to fetch" || e.name === "TypeError" ? "acitap does not answer" : e.message;
      }
      this.flush();
      const wait = pause * (0.75 + Math.random() / 2);
      this.say({ state: "waiting", reason, retryAt: Date.now() + wait });
      await new Promise((done) => { setTimeout(done, wait); });
      pause = Math.min(pause * 2, 10_000);
    }
  }

  async once() {
    this.abort = new AbortController();
    this.hadData = false;
    const headers = { Accept: "text/event-stream" };
    const q = new URLSearchParams(this.query);
    if (this.after) headers["Last-Event-ID"] = String(this.after);
    else q.set("since", "earliest");
    this.lastByte = Date.now();
    const response = await fetch(`/events/stream?${q}`, { headers, signal: this.abort.signal, cache: "no-store" });
    if (!response.ok) {
      let problem = { status: response.status, detail: `the stream was refused with status ${response.status}` };
      try { problem = { ...problem, ...await response.json() }; } catch { /* no problem document */ }
      throw Object.assign(new Error(problem.detail), { problem });
    }
    this.say({ state: "open" });
    const parser = new Parser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.stopped) break;
      this.lastByte = Date.now();
      this.hadData = true;
      for (const m of parser.push(decoder.decode(value, { stream: true }))) this.take(m);
      this.later();
    }
    this.flush();
  }

  take(m) {
    if (m.id) this.after = Number(m.id); // from here the stream can go on
    if (m.type === "message" || m.type === "gap") {
      try {
        const row = toRow(m.data);
        row.id ??= Number(m.id) || this.after || 0; // what can no longer be given has no id of its own
        this.rows.push(row);
      } catch (e) {
        this.say({ broken: String(e) });
      }
    } else if (m.type === "status") {
      try { this.say({ status: JSON.parse(m.data) }); } catch { /* the session is asked for now and then as well */ }
    }
  }

  // later hands the rows over soon: at once when it is quiet, in batches when not.
  later() {
    if (this.flushing || this.rows.length === 0) return;
    this.flushing = setTimeout(() => this.flush(), 40);
  }

  flush() {
    clearTimeout(this.flushing);
    this.flushing = 0;
    if (this.rows.length === 0) return;
    const rows = this.rows;
    this.rows = [];
    this.say({ rows });
  }
}
