// Tests of the scripts that need no browser: node --test static/

import assert from "node:assert/strict";
import { test } from "node:test";

import { Buckets, stepFor } from "./buckets.js";
import { added, chosen, width } from "./columns.js";
import { add, complete, conditions, exclude, nearest, plain, search, tokens } from "./filter.js";
import { ago, clock, count, crumbs, csv, curl, dnPath, duration, parentDN, rate, short, splitDN } from "./format.js";
import { toRow } from "./row.js";
import { Parser } from "./sse.js";
import { format, parse, query } from "./state.js";
import { Store } from "./store.js";

test("DNs: brackets hold slashes", () => {
  const dn = "uni/tn-x/ap-y/epg-z/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]";
  assert.deepEqual(splitDN(dn), ["uni", "tn-x", "ap-y", "epg-z", "rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]"]);
  assert.equal(parentDN(dn), "uni/tn-x/ap-y/epg-z");
  assert.equal(parentDN("uni"), "");
  assert.deepEqual(splitDN("a/[b/c"), ["a", "[b/c"]);
  assert.equal(dnPath("topology/pod-1/node-101/sys/phys-[eth1/1]/phys"), "topology/pod-1/node-101/sys/phys-%5Beth1/1%5D/phys");
});

test("crumbs say what a part is and how to filter by it", () => {
  const c = crumbs("uni/tn-prod/ap-shop/epg-web");
  assert.deepEqual(c.map((x) => [x.label, x.name]), [["", "uni"], ["tenant", "prod"], ["app profile", "shop"], ["EPG", "web"]]);
  assert.equal(c[1].expr, 'tenant == "prod"');
  assert.equal(c[3].expr, 'tenant == "prod" and ap == "shop" and epg == "web"');
  const n = crumbs("topology/pod-1/node-101/sys/phys-[eth1/1]");
  assert.equal(n[2].expr, 'node == "101"');
  assert.equal(n[4].expr, 'node == "101" and interface == "eth1/1"');
  assert.equal(n[3].expr, '(dn == "topology/pod-1/node-101/sys" or dn startsWith "topology/pod-1/node-101/sys/")');
  assert.equal(crumbs('uni/tn-a"b')[1].expr, 'tenant == "a\\"b"');
});

test("the DN of a port is said as people do", () => {
  assert.equal(short("topology/pod-1/paths-101/pathep-[eth1/14]"), "101 eth1/14");
  assert.equal(short("topology/pod-1/protpaths-101-102/pathep-[vpc_srv1]"), "101-102 vpc_srv1");
  assert.equal(short("uni/tn-a"), "uni/tn-a");
});

test("numbers and times", () => {
  assert.equal(count(1234567), "1,234,567");
  assert.equal(rate(1948.2), "1,948/s");
  assert.equal(rate(0.02), "1/min");
  assert.equal(clock(Date.UTC(2026, 10, 24, 3, 4, 5, 6), true), "03:04:05.006");
  assert.equal(duration(72_000), "72 s");
  assert.equal(ago(0, 1), "never");
  assert.equal(ago(Date.parse("0001-01-01T00:00:00Z"), 1), "never");
  assert.equal(ago(5000, 65_000), "60 s ago");
});

test("CSV and shell quoting", () => {
  const text = csv([{ id: 1, time: "t", fabric: "f", class: "c", dn: 'a"b,c', path: { tenant: "x" }, status: "created", origin: "live", attributes: { a: "1\n2" } }, { id: 2, kind: "gap", time: "t", fabric: "f" }]);
  const lines = text.split("\r\n");
  assert.equal(lines[0], "id,time,kind,fabric,class,dn,path,status,origin,attributes,changes");
  assert.equal(lines[1], '1,t,event,f,c,"a""b,c","{""tenant"":""x""}",created,live,"{""a"":""1\\n2""}",');
  assert.equal(lines[2], "2,t,gap,f,,,,,,,");
  assert.equal(curl("http://h", "/events", new URLSearchParams({ filter: "a == 'b' and $(rm)" })), "curl -sG 'http://h/events' \\\n  --data-urlencode 'filter=a == '\\''b'\\'' and $(rm)'");
});

test("a filter is taken apart and put together", () => {
  assert.deepEqual(conditions('a == "x and y" and (b == "1" or c == "2") and d in ["p", "q"]'), ['a == "x and y"', '(b == "1" or c == "2")', 'd in ["p", "q"]']);
  assert.equal(conditions('a == "1" or b == "2"'), null);
  assert.equal(add("", 'tenant == "prod"'), 'tenant == "prod"');
  assert.equal(add('tenant == "prod"', 'tenant == "prod"'), 'tenant == "prod"');
  assert.equal(add('tenant != "prod" and a == "1"', 'tenant == "prod"'), 'a == "1" and tenant == "prod"');
  assert.equal(add('a == "1" or b == "2"', 'c == "3"'), '(a == "1" or b == "2") and c == "3"');
  assert.equal(exclude('a == "1"', 'b == "2"'), 'a == "1" and b != "2"');
  assert.equal(exclude("", 'a == "1" and b == "2"'), 'not (a == "1" and b == "2")');
  assert.equal(exclude("", '(dn == "a" or dn startsWith "a/")'), 'not (dn == "a" or dn startsWith "a/")');
  assert.equal(exclude("", '"descr" in changes'), 'not ("descr" in changes)');
});

test("tokens cover every character", () => {
  for (const text of ['a.b == "c\\"d', "x in ['1', `2`] and not (y >= 3.5)", "ünïcode ☃ 💥 \"", ""]) {
    assert.equal(tokens(text).map((t) => t.text).join(""), text);
  }
});

test("words to search for are told from expressions", () => {
  for (const t of ["web01", "prod shop", "00:50:56:AB", "10.1.2.3/24", "uni/tn-prod", "eth1/1"]) assert.equal(plain(t), true, t);
  for (const t of ['a == "b"', '"operSt" in changes', "not (x)", "object.a contains", "len(changes) > 0", "", 'name = "x"']) assert.equal(plain(t), false, t);
  assert.match(search('We"b'), /lower\(dn\) contains "we\\"b"/);
});

const vocabulary = { attributes: () => ["severity", "descr", "lc"], values: (f) => ({ tenant: ["prod", "stage"], "object.severity": ["critical", "major"], status: ["created"] })[f] ?? [] };
const labels = (text, at = text.length) => complete(text, at, vocabulary).items.map((i) => i.label);

test("completion knows what comes next", () => {
  assert.ok(labels("").includes("class"));
  assert.deepEqual(labels("ten").slice(0, 1), ["tenant"]);
  assert.ok(labels("tenant ").includes("=="));
  assert.deepEqual(labels("tenant == "), ["prod", "stage"]);
  assert.deepEqual(labels('tenant == "s'), ["stage"]);
  assert.deepEqual(labels("object.sev"), ["severity"]);
  assert.deepEqual(labels('object.severity in ["'), ["critical", "major"]);
  assert.deepEqual(labels('object.severity in ["major", "c'), ["critical"]);
  assert.deepEqual(labels('tenant == "prod" '), ["and", "or"]);
  assert.ok(labels('tenant == "prod" and ').includes("object."));
  assert.deepEqual(labels("changes.descr."), ["old", "new"]);
  const c = complete('tenant == "s', 12, vocabulary);
  assert.deepEqual([c.from, c.to, c.items[0].insert], [10, 12, '"stage"']);
  const inside = complete('tenant == "s" and x', 12, vocabulary);
  assert.deepEqual([inside.from, inside.to], [10, 13]);
});

test("completion fails on nothing", () => {
  const text = 'not (object["a b"].x in ["p", \'q\'] or lower(dn) contains `z`) and changes.descr.old != ""]])(';
  for (let at = 0; at <= text.length; at++) complete(text, at, vocabulary);
});

test("a slip is recognised", () => {
  assert.equal(nearest("sevrity", ["name", "severity", "descr"]), "severity");
  assert.equal(nearest("xyz", ["name", "severity"]), "");
});

test("the URL holds the view", () => {
  const url = "/?view=objects&of=faultInst&filter=object.severity+%3D%3D+%22major%22&tenant=prod&attr.code=F1&sort=-lc&object=uni/tn-a/fault-F1";
  assert.equal(format(parse(url.slice(1))), url);
  assert.equal(format(parse("")), "/");
  const s = parse("?since=15m&until=latest&event=1763956931004711&class=fvBD&bogus=1&filter=a");
  assert.equal(s.event, 1763956931004711);
  assert.deepEqual(s.selectors, [["class", "fvBD"]]);
  assert.equal(String(query(s, { limit: 5, since: "" })), "class=fvBD&filter=a&limit=5");
  assert.equal(parse("?view=nonsense&event=1e5").view, "events");
  assert.equal(parse("?event=-1").event, 0);
});

const row = (id) => ({ id, t: id, kind: "event" });
const rows = (from, n) => Array.from({ length: n }, (_, i) => row(from + i));

test("the store keeps its size and says what it left out", () => {
  const s = new Store(100);
  s.push(rows(1, 150));
  assert.equal(s.length, 100);
  assert.equal(s.trimmed, 50);
  assert.equal(s.at(0).id, 51);
  s.pause();
  s.push(rows(151, 30));
  assert.equal(s.length, 100, "nothing moves while one reads");
  assert.equal(s.waiting.length, 30);
  s.push(rows(181, 100));
  assert.equal(s.waiting.length, 100);
  assert.equal(s.skipped, 30);
  s.resume();
  const left = s.rows.findIndex((r) => r.kind === "left-out");
  assert.equal(s.length, 100);
  assert.equal(s.at(99).id, 280);
  assert.equal(left, -1, "it fell off the old end together with what was before it");
  s.reset(rows(1, 10));
  s.pause();
  s.push(rows(11, 120));
  s.resume();
  assert.equal(s.skipped, 0);
});

test("what was left out stands at its place", () => {
  const s = new Store(100);
  s.push(rows(1, 50));
  s.pause();
  s.cap = 20; // room for waiting
  s.push(rows(51, 30));
  s.cap = 100;
  s.resume();
  const i = s.rows.findIndex((r) => r.kind === "left-out");
  assert.deepEqual([s.at(i).n, s.at(i).from, s.at(i).to, s.at(i - 1).id, s.at(i + 1).id], [10, 51, 60, 50, 61]);
  assert.equal(s.indexOf(60), i);
  assert.equal(s.indexOf(61), i + 1);
  assert.equal(s.indexOf(999), -1);
});

test("a note shares the id of the event before it", () => {
  const s = new Store(10);
  s.push([row(1), { id: 1, kind: "note" }, row(2)]);
  assert.equal(s.indexOf(1), 0);
});

test("server-sent events in any pieces", () => {
  const text = ": hello\nretry: 2000\n\nid: 5\ndata: {\"a\":\ndata: 1}\n\nevent: gap\r\nid: 6\r\ndata: g\r\n\r\n\ndata\n\nid: 7\n\n";
  for (let cut = 0; cut <= text.length; cut++) {
    const p = new Parser();
    const got = [...p.push(text.slice(0, cut)), ...p.push(text.slice(cut))].filter((m) => m.type !== "comment");
    assert.deepEqual(got, [{ type: "message", data: '{"a":\n1}', id: "5" }, { type: "gap", data: "g", id: "6" }, { type: "message", data: "", id: "6" }]);
  }
});

test("buckets count once and add up", () => {
  const b = new Buckets(1000, 100);
  for (let i = 0; i < 10_000; i++) b.add(1_000_000 + i * 10, ["created", "modified", "deleted"][i % 3], i % 2 ? "major" : "");
  for (const step of [1000, 2000, 5000, 30_000]) {
    const s = b.series(1_000_000, 1_099_999, step, "status");
    assert.equal(s.counts.flat().reduce((x, y) => x + y), 10_000, `step ${step}`);
    assert.deepEqual(s.names, ["created", "modified", "deleted"]);
  }
  const bySeverity = b.series(1_000_000, 1_099_999, 10_000, "severity");
  assert.equal(bySeverity.counts[1].reduce((x, y) => x + y), 5000);
  for (let i = 0; i < 200; i++) b.add(2_000_000 + i * 1000, "created", "");
  assert.ok(b.map.size <= 100);
  assert.equal(stepFor(900_000, 180), 5000);
});

test("a row is small and knows the severity of a fault", () => {
  const make = (o) => toRow(JSON.stringify(o), o);
  const base = { time: "2026-11-24T03:42:11.123456Z", fabric: "f", class: "faultInst", dn: "uni/fault-F1", path: {}, origin: "live" };
  assert.equal(make({ ...base, id: 1, status: "created", attributes: { severity: "minor", descr: "d" } }).sev, "minor");
  const m = make({ ...base, id: 2, status: "modified", attributes: { lc: "raised" }, changes: { zzz: { old: "1", new: "2" }, lc: { old: "soaking", new: "raised" } } });
  assert.equal(m.sev, "minor");
  assert.deepEqual(m.chg[0], ["lc", "soaking", "raised"], "what matters most comes first");
  const g = make({ id: 3, time: base.time, kind: "gap", fabric: "f", classes: ["a", "b"], reason: "r" });
  assert.equal(g.kind, "gap");
  const audit = { ...base, id: 9, class: "aaaModLR", status: "created", attributes: { user: "ops", descr: "BrCP x modified", changeSet: "scope (Old: context, New: global)" } };
  assert.equal(make(audit).gist, "ops: BrCP x modified · scope context → global");
  assert.ok(make({ ...base, id: 4, status: "modified", attributes: {}, changes: { a: { old: "", new: "x".repeat(5000) } } }).chg[0][2].length <= 120);
});

test("a column that is added stands at its usual place, whatever the order of the others", () => {
  assert.deepEqual(added(["time", "status", "class", "dn", "what"], "tenant"), ["time", "status", "class", "tenant", "dn", "what"]);
  assert.deepEqual(added(["class", "what", "time"], "status"), ["class", "what", "time", "status"]);
  assert.deepEqual(added(["what", "dn"], "time"), ["time", "what", "dn"]);
  assert.deepEqual(added(["time", "what"], "attr:prio"), ["time", "what", "attr:prio"]);
});

test("the width of a column is its usual one, or the one that was chosen, within reason", () => {
  const [c] = chosen(["class"]);
  assert.equal(width(c, {}), c.width);
  assert.equal(width(c, { class: 120.4 }), "120px");
  assert.equal(width(c, { class: 3 }), "40px");
  assert.equal(width(c, { class: 1e9 }), "3000px");
  assert.equal(width(c, { class: "1px; x" }), c.width); // the browser's storage is not to be trusted
});

test("the URL holds which webhook is open, and that it is being changed", () => {
  const s = parse("?view=webhooks&hook=wh_1&edit=1");
  assert.deepEqual([s.view, s.hook, s.edit], ["webhooks", "wh_1", "1"]);
  assert.equal(format(s), "/?view=webhooks&hook=wh_1&edit=1");
});
