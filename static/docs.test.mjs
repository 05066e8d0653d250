import test from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { calls, words, exampleOf, target, curl, fields } from "./docs-model.js";

const doc = JSON.parse(readFileSync(new URL("../handlers/openapi.json", import.meta.url)));
const list = calls(doc);
const call = (id) => list.find((c) => c.id === id);

test("every call is there, with resolved parameters and answers", () => {
  const n = Object.values(doc.paths).flatMap((p) => Object.keys(p)).filter((k) => ["get", "post", "patch", "put", "delete"].includes(k)).length;
  assert.equal(list.filter((c) => c.kind === "path").length, n);
  for (const c of list) {
    for (const p of c.parameters) assert.ok(p.name && p.in, c.id);
    for (const a of c.answers) assert.ok(a.description, `${c.id} ${a.code}`);
    assert.ok(doc.tags.some((t) => t.name === c.tag), c.id);
  }
});

test("targets keep what is read better and escape the rest", () => {
  assert.equal(target(call("getObject"), { "path:class": "l1PhysIf", "path:dn": "topology/pod-1/node-1/sys/phys-[eth1/1]" }), "/objects/l1PhysIf/topology/pod-1/node-1/sys/phys-[eth1/1]");
  assert.equal(target(call("getObject"), { "path:class": "fvBD", "path:dn": "uni/tn-a/BD-b c?d" }), "/objects/fvBD/uni/tn-a/BD-b%20c%3Fd");
  assert.equal(target(call("history"), { "query:class": "fvTenant,fvBD", "query:limit": " 5 ", "query:filter": `object.severity in ["critical"]` }), "/events?limit=5&class=fvTenant,fvBD&filter=object.severity%20in%20%5B%22critical%22%5D");
  assert.equal(target(call("history"), { "query:attr.NAME": "severity=critical,major&attr.lc=raised" }), "/events?attr.severity=critical%2Cmajor&attr.lc=raised");
});

test("curl can be pasted", () => {
  assert.equal(curl("http://localhost:8080", call("subscribe"), "/subscriptions/fvBD", `{"filter":"eq(fvBD.name,'x')"}`, ""), `curl 'http://localhost:8080/subscriptions/fvBD' -H 'Content-Type: application/json' -d '{"filter":"eq(fvBD.name,'\\''x'\\'')"}'`);
  assert.equal(curl("http://localhost:8080", call("unsubscribeClass"), "/subscriptions/fvBD", "", "secret"), `curl -X DELETE 'http://localhost:8080/subscriptions/fvBD' -H "Authorization: Bearer $ACITAP_TOKEN"`);
  assert.match(curl("http://localhost:8080", call("stream"), "/events/stream", "", ""), /^curl -N /);
  assert.match(curl("http://localhost:8080", call("changeWebhook"), "/webhooks/1", "{}", ""), /^curl -X PATCH /);
});

test("words and fields", () => {
  assert.equal(words(doc, { $ref: "#/components/schemas/Event" }), "Event");
  assert.equal(words(doc, { type: "integer", minimum: 1, maximum: 10000, default: 100 }), "integer 1 to 10000, default 100");
  assert.equal(fields(doc, { $ref: "#/components/schemas/Pending" }).length, 2);
  assert.ok(exampleOf(doc, call("sessions").answers.find((a) => a.code === "200").content["application/json"]).fabrics);
});
