package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/handlers"
	"github.com/acitap/acitap/webhook"
)

// A hookRig is a rig with webhooks and somebody who receives them at
// http://192.0.2.7.
type hookRig struct {
	*rig
	mu     sync.Mutex
	status int
	got    []string // bodies
	header http.Header
}

func newHookRig(t *testing.T, options ...with) *hookRig {
	t.Helper()
	h := &hookRig{status: http.StatusNoContent}
	network := apicsim.NewNetwork()
	l, err := network.Listen("192.0.2.7:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got, h.header = append(h.got, string(b)), r.Header
		w.WriteHeader(h.status)
		if h.status >= 300 {
			fmt.Fprint(w, "go away")
		}
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	h.rig = newRig(t, append(options, func(s *settings) {
		s.wrap = func(hub *apic.Hub) handlers.Hub {
			service, err := webhook.New(t.Context(), webhook.Options{Hub: hub, Store: webhook.Memory(), Dial: network.DialContext, Log: testLog()})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if err := service.Run(ctx); err != nil {
					t.Error(err)
				}
			}()
			t.Cleanup(func() { cancel(); <-done })
			s.handlers.Webhooks = service
			return hub
		}
	})...)
	return h
}

func (h *hookRig) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hookRig) bodies() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.got...)
}

type hookView struct {
	ID, Name, URL, State, Secret, Error string
	Format, Filter                      string
	Class                               []string
	Headers                             map[string]string
	Place, Lag, Delivered               int64
	Enabled                             bool
	Batch                               int
}

func TestWebhooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newHookRig(t)
		r.subscribe("fvTenant")
		r.settle()
		r.do("GET /webhooks").want(200, `{"webhooks":[]}`)
		var made, v hookView
		a := r.do("POST /webhooks", `{"name":"noc","url":"http://192.0.2.7/hook?key=k","class":"Tenant","filter":"tenant != \"x\"","headers":{"Authorization":"Bearer s3cret"}}`).want(201)
		a.into(&made)
		if !strings.HasPrefix(made.Secret, "whsec_") || made.State != "active" || !made.Enabled || made.Batch != 1 || made.Format != "event" {
			t.Errorf("got %s, want an active webhook with its secret", a.body)
		}
		if got, want := a.header.Get("Location"), "/webhooks/"+made.ID; got != want {
			t.Errorf("got Location %q, want %q", got, want)
		}
		path := "/webhooks/" + made.ID
		for _, call := range []string{"GET /webhooks", "GET " + path} {
			a := r.do(call).want(200, `"name":"noc"`, `"class":["fvTenant"]`, `"headers":{"Authorization":"***"}`)
			if strings.Contains(a.body, "whsec_") || strings.Contains(a.body, "s3cret") || strings.Contains(a.body, "key=k") {
				t.Errorf("%s: got a secret: %s", call, a.body)
			}
		}

		r.create("fvTenant", "uni/tn-one")
		r.settle()
		if got := r.bodies(); len(got) != 1 || !strings.Contains(got[0], `"dn":"uni/tn-one"`) {
			t.Fatalf("got %q, want the event", got)
		}
		var e event
		if err := json.Unmarshal([]byte(r.bodies()[0]), &e); err != nil {
			t.Fatal(err)
		}
		r.do("GET "+path).want(200, `"lag":0`, `"delivered":1`)
		r.do("GET "+path+"/deliveries").want(200, fmt.Sprintf(`"events":[%d]`, e.ID), `"ok":true`, `"status":204`, `"attempt":1`)
		r.do("GET "+path+"/deliveries?limit=1&before=1").want(200, `{"deliveries":[]}`)

		r.do("POST "+path+"/test").want(200, `"kind":"test"`, `"ok":true`)
		r.do(fmt.Sprintf("POST %s/test?event=%d&dryRun=true", path, e.ID)).want(200, `"kind":"dryRun"`, `uni/tn-one`)
		if got := len(r.bodies()); got != 2 {
			t.Errorf("got %d requests, want 2: a dry run sends nothing", got)
		}
		r.do(fmt.Sprintf("POST %s/redeliver?event=%d", path, e.ID)).want(200, `"kind":"redelivery"`)
		r.do("POST "+path+"/rewind?since=earliest").want(200, `"place":`)
		r.settle()
		if got := r.bodies(); len(got) < 4 || !strings.Contains(got[3], `"origin":"snapshot"`) {
			t.Errorf("got %q, want all again", got)
		}

		r.do("POST " + path + "/rotate").want(200).into(&v)
		if !strings.HasPrefix(v.Secret, "whsec_") || v.Secret == made.Secret {
			t.Errorf("got secret %q, want another", v.Secret)
		}
		r.do("POST " + path + "/test").want(200)
		r.mu.Lock()
		if got := r.header.Get("Webhook-Signature"); len(strings.Fields(got)) != 2 {
			t.Errorf("got signature %q, want two", got)
		}
		r.mu.Unlock()

		r.answer(http.StatusGone)
		r.create("fvTenant", "uni/tn-two")
		r.settle()
		r.do("GET "+path).want(200, `"state":"disabled"`, `"enabled":false`, `410 Gone`)
		r.do("GET "+path+"/deliveries?limit=1").want(200, `"status":410`, `"answer":"go away"`, `"next":"/webhooks/`)
		r.answer(http.StatusOK)
		r.do("PATCH "+path, `{"enabled":true,"name":"noc 2","filter":null,"headers":{"Authorization":null,"X-A":"b"}}`).want(200, `"state":"active"`, `"name":"noc 2"`, `"headers":{"X-A":"***"}`).into(&v)
		r.settle()
		if got := r.bodies(); !strings.Contains(got[len(got)-1], "uni/tn-two") {
			t.Errorf("got %q last, want what was left", got[len(got)-1])
		}
		r.do("DELETE " + path).want(204)
		r.do("GET "+path).want(404, "there is no webhook")
		r.do("DELETE " + path).want(404)
		r.do("GET /webhooks").want(200, `{"webhooks":[]}`)
	})
}

// A definition can be looked at before it is saved, and so can a change of one;
// nothing is sent or kept, and no secret of it is told.
func TestWebhookPreview(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newHookRig(t)
		r.subscribe("fvTenant")
		r.settle()
		r.create("fvTenant", "uni/tn-one")
		r.create("fvTenant", "uni/tn-two")
		r.settle()
		list := r.do("GET /events?order=desc&limit=2&class=fvTenant&status=created").events().Events
		two, one := list[0].ID, list[1].ID
		at := func(query, body string) answer { t.Helper(); return r.do("POST /webhooks/preview"+query, body) }

		at("", `{"class":"fvTenant"}`).want(200, `"kind":"dryRun"`, `"url":""`, "uni/tn-sample", `"events":[]`)
		at(fmt.Sprintf("?event=%d", two), `{"url":"http://192.0.2.7/hook?key=k","format":"slack"}`).want(200, "uni/tn-two", "blocks", `"url":"http://192.0.2.7/hook?key=***"`, fmt.Sprintf(`"events":[%d]`, two))
		// As many events as one request of it has.
		both := fmt.Sprintf("?event=%d,%d", one, two)
		at(both, `{}`).want(200, "uni/tn-one", fmt.Sprintf(`"events":[%d]`, one))
		at(both, `{"batch":10}`).want(200, "uni/tn-one", "uni/tn-two", fmt.Sprintf(`"events":[%d,%d]`, one, two))
		at(both, `{"format":"template","batch":2,"template":"{{range .events}}{{.dn}};{{end}}","contentType":"text/plain"}`).want(200, "uni/tn-one;uni/tn-two;", `"contentType":"text/plain"`)
		at("", `{"format":"template","template":"{{header \"X-Key\"}}","contentType":"text/plain","headers":{"X-Key":"s3cret"}}`).want(200, `"body":"***"`, `"X-Key":"***"`)

		var v hookView
		r.do("POST /webhooks", `{"url":"http://192.0.2.7/hook","name":"noc","enabled":false,"headers":{"X-Key":"s3cret"}}`).want(201).into(&v)
		at("?webhook="+v.ID+fmt.Sprintf("&event=%d", one), `{"format":"cloudevents"}`).want(200, "specversion", "uni/tn-one", `"url":"http://192.0.2.7/hook"`, `"X-Key":"***"`)
		r.do("GET /webhooks/"+v.ID).want(200, `"format":"event"`, `"delivered":0`)
		r.do("GET /webhooks/"+v.ID+"/deliveries").want(200, `{"deliveries":[]}`)
		if got := r.bodies(); len(got) != 0 {
			t.Errorf("a preview has sent %q", got)
		}

		at("", ``).want(400, "a body is needed")
		at("", `{"format":"template","template":"{{.dn"}`).want(400, `"param":"template"`, "line 1")
		at("", `{"url":"http://127.0.0.1/","colour":"red","filter":"a =="}`).want(400, `"param":"colour"`, `"param":"filter"`)
		at("?webhook=nobody", `{}`).want(404)
		at("?webhook=", `{}`).want(400, `"param":"webhook"`)
		at("?event=0", `{}`).want(400, `"param":"event"`)
		at("?event=x,1", `{}`).want(400, `"param":"event"`)
		at("?event="+strings.TrimSuffix(strings.Repeat("7,", 21), ","), `{}`).want(400, "may name 20")
		at("?event=7", `{}`).want(410, `"oldest":`)
		at("?colour=red", `{}`).want(400, `"param":"colour"`)
		r.do("GET /webhooks/preview").want(404, "there is no webhook")
	})
}

func TestWebhookPresets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newHookRig(t)
		var list struct {
			Presets []struct {
				Name, Title, Format, Template, ContentType, Include, URL string
				Headers                                                  map[string]string
			}
		}
		r.do("GET /webhooks/presets").want(200, `"headers":{"X-Routing-Key":"INTEGRATION_KEY"}`).into(&list)
		if len(list.Presets) != len(webhook.Presets()) {
			t.Fatalf("got %d presets, want %d", len(list.Presets), len(webhook.Presets()))
		}
		// The fields are what the name of the preset stands for.
		for _, p := range list.Presets {
			headers, err := json.Marshal(p.Headers)
			if err != nil {
				t.Fatal(err)
			}
			body := map[string]any{"format": p.Format, "batch": 1, "headers": p.Headers}
			for name, value := range map[string]string{"template": p.Template, "contentType": p.ContentType, "include": p.Include} {
				if value != "" {
					body[name] = value
				}
			}
			b, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			type attempt struct {
				Request struct{ Body, ContentType string }
			}
			var by, of attempt
			r.do("POST /webhooks/preview", fmt.Sprintf(`{"preset":%q,"headers":%s}`, p.Name, headers)).want(200).into(&by)
			r.do("POST /webhooks/preview", string(b)).want(200).into(&of)
			if by.Request.ContentType != of.Request.ContentType || len(by.Request.Body) != len(of.Request.Body) {
				t.Errorf("%s: by its name it makes %s, by its fields %s", p.Name, by.Request.Body, of.Request.Body)
			}
		}
		r.do("GET /webhooks/presets?x=1").want(400)
	})
}

func TestWebhookRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newHookRig(t)
		var v hookView
		r.do("POST /webhooks", `{"url":"http://192.0.2.7/"}`).want(201, `"name":"192.0.2.7"`).into(&v)
		path := "/webhooks/" + v.ID
		refused := []struct {
			call, body string
			status     int
			words      []string
		}{
			{"POST /webhooks", "", 400, []string{"a body is needed"}},
			{"POST /webhooks", "{", 400, []string{`"param":"body"`, "line 1"}},
			{"POST /webhooks", `{"name":"x"}`, 400, []string{`"param":"url"`}},
			{"POST /webhooks", `{"url":"http://192.0.2.7/","colour":"red"}`, 400, []string{`"param":"colour"`, "is no field"}},
			{"POST /webhooks?url=x", `{"url":"http://192.0.2.7/"}`, 400, []string{`"param":"url"`}},
			{"POST /webhooks", `{"url":"ftp://192.0.2.7/","batch":0,"format":"xml","filter":"a ==","headers":{"Host":"x"}}`, 400,
				[]string{`"param":"url"`, `"param":"batch"`, `"param":"format"`, `"param":"filter","line":1,"column":`, `"param":"headers"`}},
			{"POST /webhooks", `{"url":"http://127.0.0.1/"}`, 400, []string{"loopback", "ACITAP_WEBHOOK_ALLOW"}},
			{"POST /webhooks", `{"url":"http://[::ffff:169.254.169.254]/"}`, 400, []string{"link-local"}},
			{"POST /webhooks", `{"url":"http://192.0.2.7/","since":"5"}`, 410, []string{`"reason":"unknown-id"`}},
			{"POST /webhooks", `{"url":"http://192.0.2.7/","format":"template","template":"{{.dn"}`, 400, []string{`"param":"template"`, "line 1"}},
			{"PATCH " + path, `{"secret":"whsec_x"}`, 400, []string{"rotate"}},
			{"PATCH " + path, `{"since":"1h"}`, 400, []string{"rewind"}},
			{"PATCH /webhooks/nobody", `{"name":"x"}`, 404, nil},
			{"PUT " + path, `{}`, 405, []string{"PATCH"}},
			{"POST " + path + "/test?event=x", "", 400, []string{`"param":"event"`}},
			{"POST " + path + "/test?event=9007199254740991", "", 404, nil},
			{"POST " + path + "/test?dryrun=true", "", 400, []string{`"param":"dryrun"`}},
			{"POST " + path + "/redeliver", "", 400, []string{"is needed"}},
			{"POST " + path + "/redeliver?event=7", "", 410, []string{`"oldest":`}},
			{"POST " + path + "/rewind", "", 400, []string{"is needed"}},
			{"POST " + path + "/rewind?since=yesterday", "", 400, []string{`"param":"since"`}},
			{"POST " + path + "/rewind?since=7", "", 410, []string{`"oldest":`}},
			{"POST " + path + "/rotate?secret=x", "", 400, []string{`"param":"secret"`}},
			{"POST " + path + "/rotate", `{"secret":"x"}`, 400, []string{"whsec_"}},
			{"GET " + path + "/deliveries?limit=0", "", 400, []string{`"param":"limit"`}},
			{"GET /webhooks/nobody/deliveries", "", 404, nil},
			{"POST /webhooks/nobody/test", "", 404, nil},
		}
		for _, c := range refused {
			var extra []string
			if c.body != "" {
				extra = append(extra, c.body)
			}
			a := r.do(c.call, extra...)
			a.want(c.status, c.words...)
		}
	})
}
