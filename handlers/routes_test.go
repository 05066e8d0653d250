package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/handlers"
)

func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// Every route, asked in a way that it answers well.
func TestRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(s *settings) { s.handlers.Version = "v1.2.3" })
		r.subscribe("fvTenant")
		r.subscribe("fvBD")
		r.create("fvBD", "uni/tn-common/BD-a b")
		r.create("l1PhysIf", "topology/pod-1/node-1/sys/phys-[eth1/1]")
		r.subscribe("l1PhysIf")
		r.settle()
		first := r.do("GET /events?limit=1").want(200).events().Events[0].ID
		steps := []struct {
			call   string
			status int
			words  string
		}{
			{"GET /livez", 200, `"version":"v1.2.3"`},
			{"GET /readyz", 200, `"ready"`},
			{"GET /healthz", 200, `"ready"`},
			{"GET /session", 200, `"fabrics":[{"name":"default","state":"connected","controller":"apic1","controllers":["apic1"],"user":"admin","apicVersion":"6.0(2h)"`},
			{"GET /subscriptions", 200, `{"subscriptions":[`},
			{"GET /subscriptions/fvTenant", 200, `{"subscriptions":[`},
			{"GET /subscriptions/tenant", 200, `"class":"fvTenant"`},
			{"POST /subscriptions/TENANT", 200, `"class":"fvTenant"`},
			{"GET /events", 200, `{"events":[`},
			{"GET /events/fvTenant", 200, `"dn":"uni/tn-common"`},
			{"GET /events/BridgeDomain", 200, `"dn":"uni/tn-common/BD-a b"`},
			{"GET /events/fvBD?since=earliest&until=latest&order=desc&limit=10000&include=object&kind=event,gap", 200, `"object":{`},
			{"GET /events/fvCtx", 200, `{"events":[],`},
			{"GET /events?tenant=common&dn=uni/tn-common/&status=created&origin=live&fabric=default&attr.name=" + "a+b", 200, `"class":"fvBD"`},
			{`GET /events?filter=tenant+==+"common"+and+class+==+"fvBD"`, 200, `"class":"fvBD"`},
			{fmt.Sprintf("GET /events/%d", first), 200, fmt.Sprintf(`{"id":%d,`, first)},
			{fmt.Sprintf("GET /events/%d?include=object", first), 200, `"object":{`},
			{"GET /events/fvTenant/pending", 200, `{"pending":3,"hasEvents":true}`},
			{"GET /events/fvTenant/consumers", 200, `{"consumers":[]}`},
			{"GET /events/fvTenant/next", 200, `{"id":`},
			{"POST /events/fvTenant/next", 200, `{"id":`},
			{"GET /events/fvTenant/next?max=1&include=object", 200, `{"events":[{"id":`},
			{"GET /events/fvTenant/next", 204, ""},
			{"GET /events/fvTenant/next?max=5&wait=1s", 204, ""},
			{"GET /events/fvTenant/pending", 200, `{"pending":0,"hasEvents":false}`},
			{"GET /events/fvTenant/next?consumer=me&since=earliest", 200, `{"id":`},
			{"GET /events/fvTenant/pending?consumer=me", 200, `{"pending":2,"hasEvents":true}`},
			{"GET /events/fvTenant/consumers", 200, `{"consumers":[{"name":"me","class":"fvTenant","place":`},
			{"DELETE /events/fvTenant/consumers/me", 204, ""},
			{"DELETE /events/fvTenant/consumers/me", 404, "has no consumer"},
			{"GET /wait?timeout=1s", 204, ""},
			{"GET /wait?class=fvBD&state=true", 200, `{"class":"fvBD","dn":"uni/tn-common/BD-a b"`},
			{"GET /wait?class=fvBD&since=earliest", 200, `{"id":`},
			{"GET /objects/fvTenant", 200, `{"objects":[{"class":"fvTenant","dn":"uni/tn-common","fabric":"default","path":{"tenant":"common"},"attributes":{`},
			{"GET /objects/fvTenant?dn=uni/tn-mgmt&attr.name=mgmt", 200, `"asOf":`},
			{"GET /objects/fvTenant?at=latest", 200, `uni/tn-mgmt`},
			{"GET /objects/fvTenant?at=earliest", 200, `{"objects":[],`},
			{"GET /objects/fvTenant/uni/tn-common", 200, `{"class":"fvTenant","dn":"uni/tn-common"`},
			{"GET /objects/fvTenant/uni%2Ftn-common", 200, `{"class":"fvTenant","dn":"uni/tn-common"`},
			{"GET /objects/BridgeDomain/uni/tn-common/BD-a%20b", 200, `"dn":"uni/tn-common/BD-a b"`},
			{"GET /objects/l1PhysIf/topology/pod-1/node-1/sys/phys-[eth1/1]", 200, `"interface":"eth1/1"`},
			{"GET /objects/l1PhysIf/topology/pod-1/node-1/sys/phys-%5Beth1%2F1%5D", 200, `"interface":"eth1/1"`},
			{"GET /objects/l1PhysIf/topology/pod-1/node-1/sys/phys-[eth1/1]/history", 200, `{"events":[{"id":`},
			{"GET /objects/fvTenant/uni/tn-common/history?include=object", 200, `"object":{`},
			{"GET /objects/fvTenant/uni/tn-common?at=latest", 200, `"uni/tn-common"`},
			{"GET /objects/fvTenant/uni/tn-common?at=earliest", 404, "there was no fvTenant"},
			{"DELETE /subscriptions/fvBD", 204, ""},
			{"DELETE /subscriptions/fvBD", 404, "there is no subscription of fvBD"},
			{"GET /events/fvBD", 200, `"dn":"uni/tn-common/BD-a b"`},
			{"GET /events/fvBD/next", 404, "POST /subscriptions/fvBD"},
		}
		for _, s := range steps {
			a := r.do(s.call).want(s.status, s.words)
			if cc := a.header.Get("Cache-Control"); cc != "no-store" {
				t.Errorf("%s: got Cache-Control %q, want no-store", s.call, cc)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvTenant")
		const above = "9007199254740991"
		steps := []struct {
			call   string
			status int
			words  string
			extra  []string
		}{
			{"GET /nothing", 404, "nothing at this path", nil},
			{"GET /events/", 404, "", nil},
			{"GET /objects", 404, "", nil},
			{"BREW /nothing", 404, "", nil},
			{"BREW /events", 405, "no BREW", nil},
			{"PUT /events", 405, "GET, HEAD, OPTIONS", nil},
			{"DELETE /events/fvTenant/next", 405, "GET, POST, OPTIONS", nil},
			{"POST /wait", 405, "", nil},
			{"GET /events/fvTenant/consumers/me", 405, "DELETE, OPTIONS", nil},

			{"GET /session?x=1", 400, "x: is no parameter", nil},
			{"GET /livez?x=1", 400, "", nil},
			{"GET /events?statuss=created", 400, "statuss: is no parameter of this call; it has", nil},
			{"GET /events?limit=0", 400, "from 1 to 10000", nil},
			{"GET /events?limit=10001", 400, "limit", nil},
			{"GET /events?limit=1&limit=2", 400, "given 2 times", nil},
			{"GET /events?limit=+5", 400, "limit", nil},
			{"GET /events?order=up", 400, "asc, desc", nil},
			{"GET /events?kind=events", 400, "kind", nil},
			{"GET /events?include=objects", 400, "include", nil},
			{"GET /events?format=xml", 400, "json, ndjson, csv", nil},
			{"GET /events?since=yesterday", 400, "since", nil},
			{"GET /events?since=", 400, "since", nil},
			{"GET /events?status=create", 400, "did you mean created?", nil},
			{"GET /events?status=", 400, "status", nil},
			{`GET /events?filter=severity+==+"x"`, 400, `"line":1,"column":1`, nil},
			{"GET /events?limit=0&order=up&nope=1", 400, `"errors":[{"param":"order"`, nil},
			{"GET /events?a=%zz", 400, "query of the URL", nil},
			{"GET /events?a;b", 400, "query of the URL", nil},
			{"GET /events/fvTenant?class=fvBD", 400, "named in the path", nil},
			{"GET /events/1abc", 400, "no class name", nil},
			{"GET /events/fv.Tenant", 400, "no class name", nil},
			{"GET /events/LogicalModel", 400, "stands for no APIC class", nil},
			{"GET /events?since=5", 410, `"oldest":`, nil},
			{"GET /events?since=" + above, 410, `"reason":"unknown-id"`, nil},
			{"GET /events?until=5", 410, `"oldest":`, nil},
			{"GET /events/5", 410, "id 5 is of another log", nil},
			{"GET /events/" + above, 404, "no event has the id", nil},
			{"GET /events/99999999999999999999", 400, "", nil},

			{"GET /events/fvBD/next", 404, "POST /subscriptions/fvBD", nil},
			{"GET /events/fvBD/pending", 404, "POST /subscriptions/fvBD", nil},
			{"GET /events/fvBD/consumers", 404, "POST /subscriptions/fvBD", nil},
			{"GET /events/fvTenant/pending?consumer=nobody", 404, "no consumer", nil},
			{"GET /events/fvTenant/next?max=0", 400, "from 1 to 1000", nil},
			{"GET /events/fvTenant/next?max=1001", 400, "max", nil},
			{"GET /events/fvTenant/next?wait=61s", 400, "wait", nil},
			{"GET /events/fvTenant/next?wait=-1s", 400, "wait", nil},
			{"GET /events/fvTenant/next?wait=5", 400, "wait", nil},
			{"GET /events/fvTenant/next?consumer=", 400, "consumer", nil},
			{"GET /events/fvTenant/next?consumer=a.b", 400, "consumer", nil},
			{"GET /events/fvTenant/next?consumer=" + strings.Repeat("x", 65), 400, "consumer", nil},
			{"GET /events/fvTenant/next?ack=0", 400, "consumer=NAME", nil},
			{"GET /events/fvTenant/next?since=earliest", 400, "consumer=NAME", nil},
			{"GET /events/fvTenant/next?consumer=a&ack=x", 400, "ack", nil},
			{"GET /events/fvTenant/next?consumer=a&ack=" + above, 400, "above the newest", nil},
			{"GET /events/fvTenant/next?consumer=b&since=5", 410, `"oldest":`, nil},
			{"GET /events/fvTenant/next?status=created", 400, "status", nil},
			{"POST /events/fvTenant/next", 400, "must be a number", []string{`{"max":"5"}`}},
			{"POST /events/fvTenant/next?max=1", 400, "URL and in the body", []string{`{"max":5}`}},
			{"DELETE /events/fvTenant/consumers/a.b", 400, "name", nil},

			{"GET /wait?timeout=61m", 400, "timeout", nil},
			{"GET /wait?state=1", 400, "neither true nor false", nil},
			{"GET /wait?state=true&status=deleted", 400, "state", nil},
			{"GET /wait?since=5", 410, `"oldest":`, nil},
			{"GET /events/stream?since=soon", 400, "since", nil},
			{"GET /events/stream?kind=event", 400, "kind", nil},
			{"GET /events/stream?lastEventId=x", 400, "lastEventId", nil},
			{"GET /events/stream", 400, "Last-Event-ID", []string{"Last-Event-ID: x"}},
			{"GET /events/stream", 400, "Last-Event-ID", []string{"Last-Event-ID: -5"}},
			{"GET /events/fvTenant/stream?class=fvBD", 400, "class", nil},

			{"GET /objects/fvBD", 404, "POST /subscriptions/fvBD", nil},
			{"GET /objects/fvTenant?status=created", 400, "status", nil},
			{"GET /objects/fvTenant?limit=10001", 400, "limit", nil},
			{"GET /objects/fvTenant?cursor=!", 400, "cursor", nil},
			{"GET /objects/fvTenant?at=5", 410, `"oldest":`, nil},
			{"GET /objects/fvTenant/", 400, "empty", nil},
			{"GET /objects/fvTenant/uni//x", 400, "empty part", nil},
			{"GET /objects/fvTenant/uni/tn-[x", 400, "never closed", nil},
			{"GET /objects/fvTenant/uni/tn-nope", 404, "there is no fvTenant uni/tn-nope", nil},
			{"GET /objects/fvTenant/uni/tn-nope/history", 404, "uni/tn-nope", nil},
			{"GET /objects/fvBD/uni/tn-common", 404, "POST /subscriptions/fvBD", nil},
			{"GET /objects/fvTenant/uni/tn-common?fabric=other", 400, "there is default", nil},
			{"GET /objects/fvTenant/uni/tn-common?limit=1", 400, "limit", nil},
			{"GET /objects/fvTenant/uni/tn-common%2Fhistory", 404, "uni/tn-common/history", nil},

			{"GET /subscriptions/fvBD", 404, "POST /subscriptions/fvBD", nil},
			{"GET /subscriptions/fvTenant/nope", 404, "no subscription", nil},
			{"DELETE /subscriptions/fvTenant/nope", 404, "no subscription", nil},
			{"POST /subscriptions/fvNoSuch", 422, `"apic":{"code":"`, nil},
			{"POST /subscriptions/l2IngrBytes5min", 422, "statistics", nil},
			{"POST /subscriptions/fvBD?filter=name=x", 400, "grammar", nil},
			{"POST /subscriptions/fvBD?filter=eq(fvBD.nope,%22x%22)", 422, `"apic":{`, nil},
			{"POST /subscriptions/fvBD?scope=all", 400, "self, children, subtree", nil},
			{"POST /subscriptions/fvBD?dn=uni/", 400, "dn", nil},
			{"POST /subscriptions/fvBD?fabric=other", 400, "there is default", nil},
			{"POST /subscriptions/fvBD?onlyNew=yes", 400, "neither true nor false", nil},
			{"POST /subscriptions/fvBD?query=x", 400, "query: is no parameter", nil},
			{"POST /subscriptions/fvBD", 400, "onlynew: is no field of this call; it has", []string{`{"onlynew":true}`}},
			{"POST /subscriptions/fvBD", 400, "true or false", []string{`{"onlyNew":"true"}`}},
			{"POST /subscriptions/fvBD", 400, "must be text", []string{`{"dn":{}}`}},
			{"POST /subscriptions/fvBD", 400, "not one JSON object", []string{`{"onlyNew":true`}},
			{"POST /subscriptions/fvBD", 400, "not one JSON object: line 2", []string{"{\"onlyNew\":true}\n{}"}},
			{"POST /subscriptions/fvBD", 400, "not one JSON object", []string{`{"onlyNew":true,"onlyNew":true}`}},
			{"POST /subscriptions/fvBD", 400, "must be a JSON object", []string{`[1]`}},
			{"POST /subscriptions/fvBD", 400, "not null", []string{`null`}},
			{"POST /subscriptions/fvBD", 400, "Content-Type: application/json", []string{"Content-Type: application/x-www-form-urlencoded", `{"onlyNew":true}`}},
			{"POST /subscriptions/fvBD", 413, "1 MiB", []string{`{"dn":"` + strings.Repeat("x", 1<<20) + `"}`}},
			{"POST /subscriptions", 400, "query: is needed", nil},
			{"POST /subscriptions", 400, "neither of a class", []string{`{"query":"/api/x/y.json"}`}},
			{"POST /subscriptions", 400, "dn: is no field", []string{`{"query":"/api/class/fvBD.json","dn":"uni"}`}},
		}
		for _, s := range steps {
			r.do(s.call, s.extra...).want(s.status, s.words)
		}
		if subs := r.hub.Subscriptions(t.Context()); len(subs) != 1 {
			t.Errorf("got %d subscriptions after refusals, want 1", len(subs))
		}
	})
}

func TestMethods(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvTenant")
		for path, allow := range map[string]string{
			"/events":                             "GET, HEAD, OPTIONS",
			"/events/5":                           "GET, HEAD, OPTIONS",
			"/events/stream":                      "GET, HEAD, OPTIONS",
			"/events/fvTenant/next":               "GET, POST, OPTIONS",
			"/subscriptions":                      "GET, HEAD, POST, OPTIONS",
			"/subscriptions/fvTenant":             "GET, HEAD, POST, DELETE, OPTIONS",
			"/subscriptions/fvTenant/x":           "GET, HEAD, DELETE, OPTIONS",
			"/events/fvTenant/consumers/x":        "DELETE, OPTIONS",
			"/objects/l1PhysIf/sys/phys-[eth1/1]": "GET, HEAD, OPTIONS",
		} {
			if got := r.do("OPTIONS " + path).want(204).header.Get("Allow"); got != allow {
				t.Errorf("OPTIONS %s: got Allow %q, want %q", path, got, allow)
			}
			if got := r.do("PATCH " + path).want(405).header.Get("Allow"); got != allow {
				t.Errorf("PATCH %s: got Allow %q, want %q", path, got, allow)
			}
		}
		for _, path := range []string{"/events", "/session", "/objects/fvTenant", "/events/stream"} {
			if a := r.do("HEAD " + path); a.status != 200 || a.body != "" {
				t.Errorf("HEAD %s: got %d %q, want 200 without a body", path, a.status, a.body)
			}
		}
		if a := r.do("HEAD /events/fvTenant/next"); a.status != 405 {
			t.Errorf("HEAD next: got %d, want 405: it would take", a.status)
		}
		r.do("GET /events/fvTenant/pending").want(200, `"pending":3`)
	})
}

func TestSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.do("POST /subscriptions/fvTenant", `{"dn":"uni/tn-common","scope":"subtree","filter":"eq(fvTenant.name,\"common\")","onlyNew":true,"fabric":"default"}`).
			want(201, `"class":"fvTenant"`, `"dn":"uni/tn-common"`, `"scope":"subtree"`, `"filter":"eq(fvTenant.name,\"common\")"`,
				`"onlyNew":true`, `"state":"active"`, `"error":""`, `"objects":1`, `"events":0`, `"pending":0`, `"lastEventAt":null`, `"createdAt":"`, `"lastProofOfLife":"`)
		location := a.header.Get("Location")
		if !strings.HasPrefix(location, "/subscriptions/fvTenant/") {
			t.Fatalf("got Location %q", location)
		}
		r.do("GET "+location).want(200, `"scope":"subtree"`)
		r.do("POST /subscriptions/fvTenant?dn=uni/tn-common&scope=subtree&filter=eq(fvTenant.name,%22common%22)").want(200, `"onlyNew":true`)

		// Several classes by one name, and back.
		var list struct{ Subscriptions []struct{ ID, Class string } }
		r.do("POST /subscriptions/Endpoint").want(201).into(&list)
		if len(list.Subscriptions) != 2 || list.Subscriptions[0].Class != "fvCEp" || list.Subscriptions[1].Class != "fvStCEp" {
			t.Errorf("got %v for Endpoint, want fvCEp and fvStCEp", list)
		}
		r.do("POST /subscriptions/endpoint").want(200)
		r.do("GET /subscriptions/Endpoint").want(200, "fvCEp", "fvStCEp")
		r.do("DELETE /subscriptions/Endpoint").want(204)
		r.do("GET /subscriptions/fvCEp").want(404)

		// One class of several that the APIC refuses takes the others back.
		r.fabric.Controller(0).Unsupported("fvStCEp", true)
		r.do("POST /subscriptions/Endpoint").want(422, "fvStCEp")
		r.do("GET /subscriptions/fvCEp").want(404)

		// A query in hand.
		q := r.do("POST /subscriptions", `{"query":"https://apic1/api/mo/uni/tn-mgmt.json?query-target=subtree&target-subtree-class=fvBD,fvCtx&subscription=yes&page=0"}`).
			want(201, `"query":"/api/mo/uni/tn-mgmt.json?query-target=subtree&target-subtree-class=fvBD,fvCtx"`)
		r.do("GET " + q.header.Get("Location")).want(200)
		r.do("GET /subscriptions/fvCtx").want(200, "fvBD,fvCtx")
		r.do("DELETE /subscriptions/fvCtx").want(204)
		mo := r.do("POST /subscriptions?query=/api/mo/uni/tn-mgmt.json?query-target=subtree").want(201, `"class":""`)
		r.do("GET " + mo.header.Get("Location")).want(200)
		r.do("DELETE " + mo.header.Get("Location")).want(204)
		r.do("DELETE " + location).want(204)
		r.do("GET /subscriptions").want(200, `{"subscriptions":[]}`)

		// An abstract class.
		r.do("POST /subscriptions/Faults").want(201, `"class":"faultInfo"`)
		r.do("GET /events/faultInst/next").want(204)
		r.do("GET /events/Faults/next").want(204)
		r.do("GET /objects/faultInst").want(200)
		r.do("GET /subscriptions/faultInst").want(404)
	})
}

func TestSubscribeWhileDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(s *settings) { s.down = true })
		r.do("GET /readyz").want(503, "no session with an APIC")
		r.do("GET /livez").want(200)
		r.do("POST /subscriptions/fvTenant").want(202, `"state":"pending"`)
		r.do("POST /subscriptions/fvTenant").want(202, `"state":"pending"`)
		r.do("GET /events/fvTenant/next").want(204)
		r.do("GET /events/fvTenant/next?max=3").want(204)
		r.network.Refuse("apic1:80", false)
		r.do("GET /events/fvTenant/next?wait=60s").want(200, "uni/tn-common")
		r.do("POST /subscriptions/fvTenant").want(200, `"state":"active"`)
		r.do("GET /readyz").want(200)
	})
}

func TestTooManySubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(s *settings) { s.hub.MaxSubscriptions = 1 })
		r.subscribe("fvTenant")
		r.do("POST /subscriptions/fvBD").want(409, "too many subscriptions")
	})
}

func TestSecurityHeaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for _, call := range []string{"GET /session", "GET /nothing", "GET /events?x=1"} {
			a := r.do(call)
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
			} {
				if got := a.header.Get(name); got != want {
					t.Errorf("%s: got %s %q, want %q", call, name, got, want)
				}
			}
			if a.header.Get("X-Request-Id") == "" {
				t.Errorf("%s: got no X-Request-Id", call)
			}
			if got := a.header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("%s: got CORS for %q, want none", call, got)
			}
		}
	})
}

func TestCrossSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvTenant")
		for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example"} {
			r.do("POST /subscriptions/fvBD", header).want(403, "another site")
			r.do("DELETE /subscriptions/fvTenant", header).want(403)
			r.do("GET /events/fvTenant/next", header).want(403)
			r.do("POST /events/fvTenant/next", header).want(403)
			r.do("GET /events/fvTenant", header).want(200)
		}
		r.do("GET /events/fvTenant/next", "Sec-Purpose: prefetch").want(403)
		r.do("GET /events/fvTenant/pending").want(200, `"pending":3`)
		r.do("GET /events/fvTenant/next", "Sec-Fetch-Site: same-origin").want(200)
		r.do("GET /events/fvTenant/next", "Sec-Fetch-Site: none").want(200)
		r.do("POST /events/fvTenant/next", "Origin: http://acitap").want(200)
	})
}

// Of one caller 60 requests may be in flight; streams and probes do not count.
func TestInFlight(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over, func(s *settings) { s.handlers.MaxStreams = 3 })
		r.subscribe("fvBD")
		r.do("GET /events/fvBD/next?max=1000")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 3 {
			r.stream("/events/stream")
		}
		tooMany := r.do("GET /events/stream").want(429, "ACITAP_MAX_STREAMS")
		if tooMany.header.Get("Retry-After") == "" {
			t.Error("got no Retry-After")
		}
		ended := make(chan int, 60)
		for range 60 {
			go func() {
				a, _ := r.try(ctx, "GET /events/fvBD/next?wait=60s")
				ended <- a.status
			}()
		}
		synctest.Wait()
		r.do("GET /session").want(429, "60 requests in flight")
		r.do("GET /livez").want(200)
		r.do("GET /readyz").want(200)
		r.create("fvBD", "uni/tn-common/BD-x")
		r.settle()
		r.do("GET /session").want(200) // one of them got it
		cancel()
		statuses := make(map[int]int)
		for range 60 {
			statuses[<-ended]++
		}
		if statuses[200] != 1 {
			t.Errorf("got statuses %v, want one 200", statuses)
		}
		synctest.Wait()
		r.do("GET /session").want(200)
	})
}

// broken is a hub whose calls fail or panic.
type broken struct{ handlers.Hub }

func (broken) Fabrics() []string { panic("boom") }
func (broken) PendingEvents(context.Context, []apic.Class, string) (int64, error) {
	return 0, errors.New("disk /secret/path on fire")
}
func (broken) Consumers(context.Context, []apic.Class) ([]apic.Consumer, error) {
	return nil, &apic.Error{Op: "list", HTTPStatus: 503, Code: "503", Text: "busy"}
}
func (broken) DeleteConsumer(context.Context, []apic.Class, string) error { return apic.ErrClosed }
func (broken) Next(ctx context.Context, _ []apic.Class, _ apic.NextOptions) (apic.Taken, error) {
	return apic.Taken{}, context.DeadlineExceeded
}

func TestFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(s *settings) { s.wrap = func(h *apic.Hub) handlers.Hub { return broken{h} } })
		a := r.do("GET /events/fvTenant/pending").want(500, "under request", `"request":"`)
		if strings.Contains(a.body, "secret") {
			t.Errorf("a 500 says too much: %s", a.body)
		}
		if p := r.do("POST /subscriptions/fvTenant").want(500, "under request"); strings.Contains(p.body, "boom") {
			t.Errorf("a panic says too much: %s", p.body)
		}
		r.do("GET /events/fvTenant/consumers").want(502, `"apic":{"code":"503","text":"busy"}`)
		if got := r.do("DELETE /events/fvTenant/consumers/a").want(503).header.Get("Retry-After"); got == "" {
			t.Error("got no Retry-After with 503")
		}
		r.do("GET /events/fvTenant/next").want(504)
	})
}

func TestLogStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvTenant")
		r.journal.Fail(func() error { return errors.New("disk full") })
		r.do("GET /events/fvTenant/next").want(500)
		r.journal.Fail(nil)
		if got := r.do("GET /events/fvTenant/next").want(200).event().DN; got != "uni/tn-common" {
			t.Errorf("got %s after a take that failed, want the first, uni/tn-common", got)
		}
	})
}
