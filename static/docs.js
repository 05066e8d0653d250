// The page of the API: openapi.json, to read and to try. All text reaches the
// document as text.
import { h, fill, button, copy, $ } from "./dom.js";
import { calls, words, fields, exampleOf, show, target, curl, resolve } from "./docs-model.js";

let doc;
let token = ""; // kept by nobody, gone with the page

const main = $("main");
const isText = (media) => /json|text\/(plain|csv)/.test(media);

function method(call) {
  return h("span", { class: `method ${call.method}` }, call.method.toUpperCase());
}

// prose makes paragraphs, with the bold words of the document's own text.
function prose(text) {
  return text.split("\n\n").filter(Boolean).map((part) => h("p", null, part.split("**").map((s, i) => i % 2 ? h("b", null, s) : s)));
}

function input(p) {
  const s = p.schema ?? {};
  const label = `${p.name} (${p.in})`;
  const choices = s.enum ?? (s.type === "boolean" ? [true, false] : null);
  if (choices) {
    return h("select", { "aria-label": label }, h("option", { value: "" }, ""), choices.map((c) => h("option", { value: String(c) }, String(c))));
  }
  let hint = p.example ?? s.default ?? "";
  if (p.name === "attr.NAME") hint = "severity=critical,major";
  const el = h("input", { type: "text", "aria-label": label, placeholder: String(hint), autocomplete: "off", spellcheck: "false" });
  if (p.in === "path") el.value = p.example ?? "";
  return el;
}

function parameters(call, inputs) {
  if (!call.parameters.length) return null;
  return [h("h4", null, "Parameters"), h("table", { class: "fields" }, h("tbody", null, call.parameters.map((p) => {
    const el = call.kind === "path" ? input(p) : null;
    if (el) inputs[`${p.in}:${p.name}`] = el;
    return h("tr", null,
      h("th", { scope: "row" }, p.name, p.in !== "query" && h("span", { class: "hint" }, ` ${p.in}`)),
      h("td", null, el),
      h("td", null, p.description ?? "", h("div", { class: "kind" }, words(doc, p.schema ?? {}))));
  })))];
}

function schemaTable(schema) {
  const rows = fields(doc, schema);
  if (!rows.length) return null;
  return h("table", { class: "fields" }, h("tbody", null, rows.map((f) => h("tr", null,
    h("th", { scope: "row" }, f.name, f.required ? null : h("span", { class: "hint" }, " optional")), h("td", { class: "kind" }, f.kind), h("td", null, f.description)))));
}

function shapes(schema) {
  const s = resolve(doc, schema);
  return (s?.oneOf ?? [schema]).map((one) => [h("div", { class: "kind hint" }, words(doc, one)), schemaTable(one)]);
}

function content(media) {
  return Object.entries(media ?? {}).map(([type, m]) => {
    const e = exampleOf(doc, m);
    return [h("p", { class: "hint" }, type), m.schema && shapes(m.schema), e !== undefined && h("pre", { class: "json" }, show(e))];
  });
}

function answers(call) {
  return [h("h4", null, "Answers"), call.answers.map((a) => h("details", { class: "answer" },
    h("summary", null, h("code", null, a.code), ` ${a.description}`),
    Object.entries(a.headers ?? {}).map(([name, v]) => h("p", { class: "hint" }, `${name}: ${v.description ?? words(doc, v.schema)}`)),
    content(a.content)))];
}

function tryIt(call, inputs) {
  const body = call.body?.content?.["application/json"] ? h("textarea", { "aria-label": "Body", spellcheck: "false" }) : null;
  if (body && (call.body.required || call.id === "subscribeQuery")) body.value = show(exampleOf(doc, call.body.content["application/json"]) ?? {});
  const out = h("div", { "aria-live": "polite" });
  const where = () => target(call, Object.fromEntries(Object.entries(inputs).map(([k, el]) => [k, el.value])));
  let stop = null;
  const stopButton = button({ text: "Stop", onclick: () => stop?.abort() });
  stopButton.hidden = true;

  async function send() {
    stop?.abort();
    const mine = stop = new AbortController();
    stopButton.hidden = false;
    const status = h("p", { class: "hint" }, "Waiting for the answer…");
    const text = h("pre", { class: "json" });
    text.hidden = true;
    fill(out, status, text);
    const headers = {};
    if (token) headers.Authorization = `Bearer ${token}`;
    for (const p of call.parameters) if (p.in === "header" && inputs[`header:${p.name}`].value) headers[p.name] = inputs[`header:${p.name}`].value;
    const payload = body?.value.trim() || undefined;
    if (payload) headers["Content-Type"] = "application/json";
    const begun = performance.now();
    try {
      const res = await fetch(where(), { method: call.method.toUpperCase(), headers, body: payload, signal: mine.signal, cache: "no-store", redirect: "manual" });
      const says = res.type === "opaqueredirect" ? "leads to another page" : `${res.status} ${res.statusText}`;
      const named = ["Location", "Link", "Acitap-Gap", "Retry-After"].filter((n) => res.headers.get(n)).map((n) => `${n}: ${res.headers.get(n)}`);
      status.textContent = [`${says} in ${Math.round(performance.now() - begun)} ms`, ...named].join(" · ");
      const reader = res.body?.getReader();
      const decoder = new TextDecoder();
      const type = res.headers.get("Content-Type") ?? "";
      const stream = /event-stream/.test(type) || call.path.endsWith("/stream");
      let got = "";
      while (reader) {
        const { done, value } = await reader.read();
        if (done) break;
        got += decoder.decode(value, { stream: true });
        if (stream) got = got.slice(-50_000);
        else if (got.length > 2_000_000) { got += "\n… and more"; mine.abort(); break; }
        text.hidden = false;
        if (stream) { text.textContent = got; text.scrollTop = text.scrollHeight; }
      }
      if (/json/.test(type) && !/ndjson/.test(type)) try { got = show(JSON.parse(got)); } catch { /* as it came */ }
      text.textContent = got;
      text.hidden = got === "";
    } catch (err) {
      if (mine.signal.aborted) status.textContent += " Stopped.";
      else status.textContent = `No answer: ${err.message}`;
    }
    if (stop === mine) stopButton.hidden = true;
  }

  const row = h("div", { class: "try-row" }, button({ text: "Send", class: call.method === "get" ? "primary" : call.method === "delete" ? "danger" : "primary", onclick: send }), stopButton,
    button({ text: "Copy as curl", onclick: () => copy(curl(location.origin, call, where(), body?.value.trim(), token), "The call") }));
  return [body && [h("h4", null, "Body"), body, shapes(call.body.content["application/json"].schema)], row, out];
}

function card(call) {
  const box = h("details", { class: "call", id: call.id },
    h("summary", null, method(call), h("code", null, call.path), h("span", null, call.summary), call.role && h("span", { class: "hint role" }, call.role)));
  let drawn = false;
  const draw = () => {
    if (drawn) return;
    drawn = true;
    const inputs = {};
    const media = Object.keys(call.answers.find((a) => a.code.startsWith("2"))?.content ?? {});
    const canTry = call.kind === "path" && !["/static/{file}", "/signin", "/signout", "/"].includes(call.path) && (media.length === 0 || media.some(isText) || call.path.endsWith("/stream"));
    box.append(h("div", { class: "call-body" }, prose(call.description), parameters(call, inputs), canTry && tryIt(call, inputs), !canTry && call.body && [h("h4", null, "Body"), content(call.body.content)], answers(call)));
  };
  box.addEventListener("toggle", () => { if (box.open) draw(); });
  return { box, draw };
}

function open(id) {
  const box = id && document.getElementById(id);
  if (box?.classList.contains("call")) {
    box.open = true;
    box.scrollIntoView({ block: "start" });
  }
}

async function start() {
  try {
    const res = await fetch("/openapi.json");
    if (!res.ok) throw new Error(`${res.status} ${res.statusText}`);
    doc = await res.json();
  } catch (err) {
    fill(main, h("p", { class: "notice bad" }, `/openapi.json could not be read: ${err.message}. Reload the page.`));
    return;
  }
  const list = calls(doc);
  const tokenInput = h("input", { type: "password", id: "docs-token", autocomplete: "off", placeholder: "not needed where none is configured" });
  tokenInput.addEventListener("input", () => { token = tokenInput.value.trim(); });
  fill(main, h("h1", { class: "unseen" }, "API"), h("h2", null, doc.info.title), h("p", null, doc.info.summary), prose(doc.info.description),
    h("form", { class: "docs-token", onsubmit: (e) => e.preventDefault() }, h("label", { for: "docs-token" }, "Token"), tokenInput, h("span", { class: "hint" }, "Sent with the calls of this page and kept nowhere. Signed in, you need none.")));
  const find = h("input", { type: "text", placeholder: "Find a call", "aria-label": "Find a call", autocomplete: "off" });
  const links = [];
  const nav = $("docs-nav");
  fill(nav, find);
  for (const tag of doc.tags) {
    const mine = list.filter((c) => c.tag === tag.name);
    if (!mine.length) continue;
    const section = h("section", { "aria-label": tag.name }, h("h2", null, tag.name), h("p", { class: "hint" }, tag.description));
    const title = h("h4", null, tag.name);
    nav.append(title);
    for (const call of mine) {
      const { box } = card(call);
      section.append(box);
      const link = h("a", { href: `#${call.id}`, onclick: () => open(call.id) }, method(call), call.path);
      links.push({ link, box, text: `${call.method} ${call.path} ${call.summary} ${call.id}`.toLowerCase() });
      nav.append(link);
    }
    main.append(section);
  }
  find.addEventListener("input", () => {
    const needle = find.value.trim().toLowerCase();
    for (const l of links) l.link.hidden = l.box.hidden = needle !== "" && !l.text.includes(needle);
  });
  addEventListener("hashchange", () => open(location.hash.slice(1)));
  open(location.hash.slice(1));
}

start();
