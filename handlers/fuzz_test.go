package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/eventlog"
	"github.com/acitap/acitap/handlers"
	"github.com/acitap/acitap/webhook"
)

// stale is a hub without a session whose journal holds a little of everything.
func stale(tb testing.TB) *apic.Hub {
	j := eventlog.Memory(eventlog.Options{})
	event := apic.Event{
		Time: apic.Now(), Fabric: "default", Class: "fvTenant", DN: "uni/tn-a", Status: apic.Created, Origin: apic.Live,
		Attributes: apic.AttrsMap(map[string]string{"name": "a"}), Object: apic.AttrsMap(map[string]string{"name": "a"}),
	}
	_, err := j.Append(context.Background(), &apic.Batch{
		Entries: []apic.Entry{
			{Event: &event},
			{Gap: &apic.Gap{Time: apic.Now(), Fabric: "default", Classes: []apic.Class{"fvTenant"}, Reason: "x"}},
		},
		Subscriptions: []apic.Subscription{{ID: "123456789abc", Fabric: "default", Query: apic.Query{Class: "fvTenant"}, CreatedAt: apic.Now()}},
		Positions:     []apic.Position{{PositionKey: apic.PositionKey{Class: "fvTenant"}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	hub, err := apic.New(context.Background(), apic.Options{
		Controllers: []*url.URL{{Scheme: "http", Host: "nowhere.invalid"}}, User: "admin", Journal: j,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return hub
}

// Whatever a stranger sends, the answer is no 5xx and no panic, and every
// refusal is a problem. Calls that wait for the hub's Run, which does not run
// here, end with their context: that is the one 503 and 504 that may be.
func FuzzRouter(f *testing.F) {
	for _, call := range []string{
		"GET /events?filter=object.name==%22a%22&since=1h", "GET /events/fvTenant/next?consumer=a&ack=0", "POST /events/Tenant/next",
		"GET /events/stream?lastEventId=5", "GET /objects/fvTenant/uni/tn-a/history", "GET /objects/fvTenant?cursor=dW5p&at=earliest",
		"GET /wait?timeout=1ms&state=true", "DELETE /subscriptions/fvTenant/123456789abc", "POST /subscriptions", "GET /static/..%2f", "GET /",
		"OPTIONS /events", "HEAD /events/1", "GET /objects/fvTenant/uni/tn-%5Ba%2Fb%5D?fabric=default", "BREW /pot", "GET /events?kind=gap&format=csv",
		"GET /events?since=99999999999999999999&until=-1&order=desc",
	} {
		method, target, _ := strings.Cut(call, " ")
		f.Add(method, target, "Accept", "text/csv", `{"query":"/api/class/fvBD.json","onlyNew":true}`)
		f.Add(method, target, "Last-Event-ID", "17", `{"max":1}`)
	}
	tokens := filepath.Join(f.TempDir(), "tokens")
	token, line, err := handlers.NewToken("fuzz", handlers.Operator)
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(tokens, []byte(line), 0o600); err != nil {
		f.Fatal(err)
	}
	access, err := handlers.OpenTokens(tokens, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	hub := stale(f)
	// Few webhooks, and no network: what a call makes is soon refused, and sends nothing.
	hooks, err := webhook.New(context.Background(), webhook.Options{Hub: hub, Store: webhook.Memory(), MaxEndpoints: 10,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("there is no network") }})
	if err != nil {
		f.Fatal(err)
	}
	hook, err := hooks.Create(context.Background(), []byte(`{"name":"noc","url":"http://192.0.2.7/","class":"fvTenant"}`))
	if err != nil {
		f.Fatal(err)
	}
	open := handlers.New(handlers.Options{Hub: hub, Listen: "acitap", Webhooks: hooks})
	guarded := handlers.New(handlers.Options{Hub: hub, Tokens: access, CORSOrigins: []string{"https://noc.example.com"}, Webhooks: hooks})
	for _, seed := range [][2]string{
		{"POST /webhooks", `{"url":"http://192.0.2.7/","format":"template","template":"{{.dn}}","headers":{"X-A":"b"},"since":"earliest"}`},
		{"POST /webhooks", `{"url":"https://noc.example.com/","preset":"pagerduty","filter":"tenant == \"a\"","batch":7,"retryFor":"1h","secret":null}`},
		{"GET /webhooks", ""},
		{"GET /webhooks/" + hook.ID, ""},
		{"PATCH /webhooks/" + hook.ID, `{"headers":{"X-A":null},"enabled":false,"filter":null}`},
		{"DELETE /webhooks/nobody", ""},
		{"POST /webhooks/" + hook.ID + "/test?dryRun=true", `{"event":1}`},
		{"POST /webhooks/" + hook.ID + "/test", ""},
		{"POST /webhooks/" + hook.ID + "/rotate", `{"secret":"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"}`},
		{"POST /webhooks/" + hook.ID + "/redeliver?event=1", ""},
		{"POST /webhooks/" + hook.ID + "/rewind?since=earliest", ""},
		{"GET /webhooks/" + hook.ID + "/deliveries?limit=3&before=2", ""},
	} {
		method, target, _ := strings.Cut(seed[0], " ")
		f.Add(method, target, "Content-Type", "application/json", seed[1])
	}
	f.Add("POST", "/signin", "Content-Type", "application/x-www-form-urlencoded", "token="+token+"&next=/?view=x")
	f.Add("OPTIONS", "/events", "Origin", "https://noc.example.com", "")
	f.Fuzz(func(t *testing.T, method, target, name, value, body string) {
		fuzzRouter(t, open, "", method, target, name, value, body)
		fuzzRouter(t, guarded, "", method, target, name, value, body)
		fuzzRouter(t, guarded, token, method, target, name, value, body)
	})
}

func fuzzRouter(t *testing.T, handler http.Handler, token, method, target, name, value, body string) {
	u, err := url.ParseRequestURI(target)
	if err != nil || !strings.HasPrefix(target, "/") {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://acitap/", strings.NewReader(body))
	if err != nil {
		return
	}
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
	r.Header.Set(name, value)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.RemoteAddr = "192.0.2.7:4711"
	w := httptest.NewRecorder()
	func() {
		defer func() {
			p := recover()
			if err, ok := p.(error); p != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
				panic(p)
			}
		}()
		handler.ServeHTTP(w, r)
	}()
	waited := ctx.Err() != nil || r.URL.Path == "/readyz" || r.URL.Path == "/healthz"
	if w.Code >= 500 && !(waited && (w.Code == 503 || w.Code == 504)) {
		t.Errorf("%s %s: got %d: %s", method, target, w.Code, w.Body)
	}
	if w.Code >= 400 && !(r.URL.Path == "/signin" && strings.HasPrefix(w.Header().Get("Content-Type"), "text/html")) {
		var p struct {
			Status int
			Detail string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Detail == "" {
			t.Errorf("%s %s: got %d with %q, want a problem", method, target, w.Code, w.Body)
		}
	}
}
