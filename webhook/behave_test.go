package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
	"github.com/acitap/acitap/webhook"
)

// What nobody takes for a day disables the webhook, which keeps its place; the
// pauses grow, with jitter, to half an hour.
func TestGivesUpAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		r := newRig(t, func(o *webhook.Options) { o.Registerer = registry })
		v := r.receive("192.0.2.7:80")
		v.set(status(http.StatusBadGateway))
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		want := r.line.add(tenants(3)...)
		begun := time.Now()
		time.Sleep(23 * time.Hour)
		if got := r.get(hook.ID); got.State != webhook.Failing {
			t.Errorf("after 23 h: got %s, want failing", got.State)
		}
		time.Sleep(3 * time.Hour)
		got := r.get(hook.ID)
		if got.State != webhook.Disabled || got.Place != want[0]-1 || !strings.Contains(got.Error, "24h") || !strings.Contains(got.Error, "502 Bad Gateway") {
			t.Errorf("after 26 h: got %s at %d: %s; want disabled at %d, with the reason", got.State, got.Place, got.Error, want[0]-1)
		}
		list := v.all()
		var pauses []time.Duration
		for i := 1; i < len(list); i++ {
			pauses = append(pauses, list[i].at.Sub(list[i-1].at))
			if string(list[i].body) != string(list[0].body) || list[i].header.Get("Webhook-Id") != list[0].header.Get("Webhook-Id") {
				t.Fatalf("attempt %d is another message than the first", i+1)
			}
		}
		if longest := slices.Max(pauses); longest > 30*time.Minute+time.Second || longest < 10*time.Minute || pauses[0] > 2*time.Second {
			t.Errorf("got pauses from %s up to %s, want the first below 2 s and none above 30 min", pauses[0], longest)
		}
		if n := len(list); n < 50 || n > 250 {
			t.Errorf("got %d attempts in a day", n)
		}
		last := list[len(list)-1].at.Sub(begun)
		time.Sleep(time.Hour)
		if n := len(v.all()); n != len(list) {
			t.Errorf("got %d more attempts of a disabled webhook, the last before after %s", n-len(list), last)
		}
		wantMetric(t, registry, `
# HELP acitap_webhook_state 1 for the state that the webhook is in.
# TYPE acitap_webhook_state gauge
acitap_webhook_state{name="noc",state="active",webhook="`+hook.ID+`"} 0
acitap_webhook_state{name="noc",state="disabled",webhook="`+hook.ID+`"} 1
acitap_webhook_state{name="noc",state="failing",webhook="`+hook.ID+`"} 0
# HELP acitap_webhook_lag_entries Entries of the timeline behind the webhook's place, wanted or not.
# TYPE acitap_webhook_lag_entries gauge
acitap_webhook_lag_entries{name="noc",webhook="`+hook.ID+`"} 3
`, "acitap_webhook_state", "acitap_webhook_lag_entries")

		// A restart does not bring it back, its owner does: from where it was.
		r.options.Registerer = nil
		r.stop()
		r.start()
		time.Sleep(time.Hour)
		if got := r.get(hook.ID); got.State != webhook.Disabled || got.Error == "" {
			t.Errorf("after a restart: got %s: %s, want disabled", got.State, got.Error)
		}
		v.set(nil)
		if _, err := r.service.Update(t.Context(), hook.ID, []byte(`{"enabled":true}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantIDs(t, unique(v.ids()), want)
		if got := r.get(hook.ID); got.State != webhook.Active || got.Error != "" || got.Lag != 0 {
			t.Errorf("got %s: %s, want active", got.State, got.Error)
		}
	})
}

func wantMetric(t *testing.T, g prometheus.Gatherer, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(g, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestGoneDisables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		v.set(status(http.StatusGone))
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		r.line.add(tenants(3)...)
		time.Sleep(time.Minute)
		if got := r.get(hook.ID); got.State != webhook.Disabled || got.Lag != 3 || len(v.all()) != 1 {
			t.Errorf("got %s with lag %d after %d requests, want disabled at once", got.State, got.Lag, len(v.all()))
		}
	})
}

func TestRetryAfterAndPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		v.set(func(w http.ResponseWriter, _ *http.Request, _ delivery) {
			w.Header().Set("Retry-After", "300")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		r.line.add(tenants(2)...)
		time.Sleep(10 * time.Minute)
		list := v.all()
		if len(list) != 2 || list[1].at.Sub(list[0].at) < 5*time.Minute {
			t.Fatalf("got %d requests in ten minutes, want two five minutes apart", len(list))
		}
		// One request a second is taken, as by Slack: the pace comes down to it.
		last := time.Time{}
		refused := 0
		v.set(func(w http.ResponseWriter, _ *http.Request, _ delivery) {
			v.mu.Lock()
			defer v.mu.Unlock()
			if time.Since(last) < time.Second {
				refused++
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			last = time.Now()
			w.WriteHeader(http.StatusOK)
		})
		want := r.line.add(tenants(300)...)
		time.Sleep(time.Hour)
		got := unique(v.ids())
		wantIDs(t, got[len(got)-300:], want)
		v.mu.Lock()
		defer v.mu.Unlock()
		if refused > 150 {
			t.Errorf("got %d of 300 refused, want the pace to follow", refused)
		}
	})
}

// A receiver that stalls is left after 15 s, and delays nobody else.
func TestStalledReceiverDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		bad, good := r.receive("192.0.2.7:80"), r.receive("192.0.2.8:80")
		bad.set(func(_ http.ResponseWriter, req *http.Request, _ delivery) { <-req.Context().Done() })
		stalled := r.create(`{"name":"bad","url":"http://192.0.2.7/hook"}`)
		r.create(`{"name":"good","url":"http://192.0.2.8/hook"}`)
		begun := time.Now()
		want := r.line.add(tenants(100)...)
		time.Sleep(time.Minute)
		list := good.all()
		wantIDs(t, good.ids(), want)
		if d := list[len(list)-1].at.Sub(begun); d > time.Second {
			t.Errorf("the good receiver got the last event after %s", d)
		}
		if got := r.get(stalled.ID); got.State != webhook.Failing || !strings.Contains(got.Error, "15s") {
			t.Errorf("got %s: %s, want failing with a timeout", got.State, got.Error)
		}
		log, err := r.service.Deliveries(t.Context(), stalled.ID, 0, 10)
		if err != nil || len(log) == 0 || log[len(log)-1].Duration.Round(time.Second) != 15*time.Second {
			t.Errorf("got %v, %v, want attempts of 15 s", log, err)
		}
		bad.mu.Lock()
		defer bad.mu.Unlock()
		if bad.most > 1 {
			t.Errorf("got %d requests in flight, want one", bad.most)
		}
	})
}

// What the log has lost for a webhook is told it as a gap.
func TestGaps(t *testing.T) {
	for _, format := range []string{"event", "cloudevents", "slack", "teams"} {
		t.Run(format, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				v := r.receive("192.0.2.7:80")
				v.set(status(500))
				r.create(fmt.Sprintf(`{"name":"noc","url":"http://192.0.2.7/hook","class":"fvTenant","format":%q,"filter":"tenant == \"t1\" or tenant == \"t9\""}`, format))
				ids := r.line.add(tenants(20)...)
				time.Sleep(time.Minute)
				r.line.add(gap(apic.ReasonConnection, "fvTenant"), gap(apic.ReasonSilent, "fvBD"))
				r.line.forget(ids[5])
				v.set(nil)
				time.Sleep(time.Hour)
				var got []string
				for _, d := range v.all()[len(v.all())-3:] {
					if err := verify(r.secret(), d.body, d.header); err != nil && !strings.Contains(err.Error(), "too old") {
						t.Error(err)
					}
					got = append(got, string(d.body))
				}
				words := map[string][3]string{
					"event":       {`"kind":"gap","reason":"retention"`, `"dn":"uni/tn-t9"`, `"reason":"connection-lost"`},
					"cloudevents": {`"type":"cisco.aci.gap","time"`, `"type":"cisco.aci.fvTenant.created","subject":"uni/tn-t9"`, `"type":"cisco.aci.gap"`},
					"slack":       {`Gap: events before this place are lost`, `uni/tn-t9`, `Gap: the fabric was out of sight`},
					"teams":       {`Gap: events before this place are lost`, `uni/tn-t9`, `Gap: the fabric was out of sight`},
				}[format]
				for i := range words {
					if !strings.Contains(got[i], words[i]) {
						t.Errorf("got %s, want %s in it", got[i], words[i])
					}
				}
			})
		})
	}
}

func (r *rig) secret() string {
	records, err := r.store.Load(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var d struct{ Secret string }
	if err := json.Unmarshal(records[0].Definition, &d); err != nil {
		r.t.Fatal(err)
	}
	return d.Secret
}

// A place of another log is told as a gap, and the webhook goes on from the
// oldest there is.
func TestLostLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		r.line.add(tenants(5)...)
		time.Sleep(time.Minute)
		r.stop()
		r.line = newLine()
		r.line.origin -= 1 << 40 // an older log was put back
		r.line.floor = r.line.origin
		r.options.Hub = r.line
		want := r.line.add(tenants(3)...)
		r.start()
		time.Sleep(time.Minute)
		got := v.all()[5:]
		if len(got) != 4 || !strings.Contains(string(got[0].body), `"reason":"unknown-id"`) {
			t.Fatalf("got %d requests, the first %s; want a gap and three events", len(got), got[0].body)
		}
		wantIDs(t, v.ids()[6:], want)
	})
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		first := hook.Secret.Reveal()
		rotated, err := r.service.Rotate(t.Context(), hook.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		second := rotated.Secret.Reveal()
		check := func(secret string, good bool) {
			t.Helper()
			r.line.add(tenants(1)...)
			time.Sleep(time.Second)
			d := v.all()[len(v.all())-1]
			if err := verify(secret, d.body, d.header); (err == nil) != good {
				t.Errorf("after %s: got %v, want good: %v", time.Since(hook.CreatedAt), err, good)
			}
		}
		check(first, true)
		check(second, true)
		r.stop()
		r.start()
		time.Sleep(23 * time.Hour)
		check(first, true)
		check(second, true)
		time.Sleep(time.Hour)
		check(first, false)
		check(second, true)
		for range 10 {
			if _, err := r.service.Rotate(t.Context(), hook.ID, ""); err != nil {
				t.Fatal(err)
			}
		}
		r.line.add(tenants(1)...)
		time.Sleep(time.Second)
		if got := v.all()[len(v.all())-1].header.Get("Webhook-Signature"); len(strings.Fields(got)) != 5 {
			t.Errorf("got %d signatures after ten rotations, want 5", len(strings.Fields(got)))
		}
		if _, err := r.service.Rotate(t.Context(), hook.ID, "whsec_short"); err == nil {
			t.Error("got no error for a bad secret")
		}
	})
}

// Nothing that is secret is logged, shown or formatted.
func TestSecretsStayInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		r := newRig(t, func(o *webhook.Options) {
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/services/T0/B0/aB3dEfGhIjKlMnOpQrStUvWx?sig=querysecret","headers":{"X-Key":"headersecret"},
			"format":"template","template":"{\"k\": {{json (header \"x-key\")}}}"}`)
		r.line.add(tenants(1)...)
		time.Sleep(time.Hour)
		dry, err := r.service.Test(t.Context(), hook.ID, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		attempt, err := r.service.Test(t.Context(), hook.ID, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		view := r.get(hook.ID)
		viewJSON, _ := json.Marshal(view)
		dryJSON, _ := json.Marshal(dry)
		attemptJSON, _ := json.Marshal(attempt)
		deliveries, _ := r.service.Deliveries(t.Context(), hook.ID, 0, 100)
		deliveriesJSON, _ := json.Marshal(deliveries)
		secret := hook.Secret.Reveal()
		for name, text := range map[string]string{
			"log": log.String(), "view": string(viewJSON), "dry run": string(dryJSON), "test": string(attemptJSON), "deliveries": string(deliveriesJSON),
			"%v": fmt.Sprintf("%v %+v %s", hook.Secret, hook.Secret, hook.Secret), "%#v": fmt.Sprintf("%#v", hook.Secret), "error": view.Error,
		} {
			for _, word := range []string{secret, secret[6:], "querysecret", "headersecret", "aB3dEfGhIjKlMnOpQrStUvWx"} {
				if strings.Contains(text, word) {
					t.Errorf("%s holds %q: %s", name, word, text)
				}
			}
		}
		if !strings.Contains(log.String(), "192.0.2.7") {
			t.Errorf("the log does not name the host: %s", log.String())
		}
		if !strings.Contains(string(dryJSON), `{\"k\": \"***\"}`) {
			t.Errorf("got %s, want a masked body", dryJSON)
		}
	})
}

func TestRedirectIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v, other := r.receive("192.0.2.7:80"), r.receive("192.0.2.8:80")
		v.set(func(w http.ResponseWriter, req *http.Request, _ delivery) {
			http.Redirect(w, req, "http://192.0.2.8/", http.StatusTemporaryRedirect)
		})
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		r.line.add(tenants(1)...)
		time.Sleep(time.Minute)
		if got := r.get(hook.ID); got.State != webhook.Failing || !strings.Contains(got.Error, "redirects are not followed") || len(other.all()) > 0 {
			t.Errorf("got %s: %s, and %d requests elsewhere", got.State, got.Error, len(other.all()))
		}
	})
}

// An endless answer of 200 is a success, read to a bound; the first KiB stands
// in the log.
func TestEndlessAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		v.set(func(w http.ResponseWriter, req *http.Request, _ delivery) {
			for req.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		})
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		want := r.line.add(tenants(3)...)
		time.Sleep(time.Minute)
		wantIDs(t, v.ids(), want)
		list, err := r.service.Deliveries(t.Context(), hook.ID, 0, 10)
		if err != nil || len(list) != 3 || !list[0].OK() || len(list[0].Answer) != 1024 {
			t.Errorf("got %d deliveries, %v; want three with 1 KiB of the answer", len(list), err)
		}
	})
}

// Ten thousand events behind a dead receiver cost no memory, and a thousand
// webhooks at rest no goroutine.
func TestCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		before := runtime.NumGoroutine()
		hooks := 1000
		if underRace {
			hooks = 300
		}
		for i := range hooks {
			r.create(fmt.Sprintf(`{"name":"h%d","url":"http://192.0.2.7/h%d","class":"fvTenant","tenant":"t%d"}`, i, i, i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 10 {
			t.Errorf("got %d goroutines more with %d webhooks at rest", n, hooks)
		}
		ids := r.line.add(tenants(200)...)
		time.Sleep(time.Second)
		if n := len(unique(v.ids())); n != len(ids) {
			t.Errorf("got %d events, want %d, one for each of as many webhooks", n, len(ids))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 20 {
			t.Errorf("got %d goroutines more after they have all had something to do", n)
		}

		v.set(status(500))
		r.network.Refuse("192.0.2.7:80", true)
		for i := range 100 {
			r.create(fmt.Sprintf(`{"name":"d%d","url":"http://192.0.2.7/d%d","batch":10}`, i, i))
		}
		heap := func() int64 {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		r.line.add(tenants(10)...)
		time.Sleep(time.Hour)
		with := heap()
		r.line.add(tenants(10_000)...)
		time.Sleep(3 * time.Hour)
		r.line.mu.Lock()
		timeline := int64(0)
		for _, e := range r.line.entries[len(r.line.entries)-10_000:] {
			timeline += int64(len(e.JSON)) + 1000 // roughly
		}
		r.line.mu.Unlock()
		if grown := heap() - with - timeline; grown > 5<<20 {
			t.Errorf("100 webhooks with 10,000 events behind a dead receiver hold %d KiB", grown>>10)
		}
	})
}

// Rewinding while a request is in flight is not undone by its success.
func TestRewind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		ids := r.line.add(tenants(5)...)
		time.Sleep(time.Second)
		v.set(func(w http.ResponseWriter, _ *http.Request, _ delivery) { time.Sleep(time.Second) })
		more := r.line.add(tenants(1)...)
		time.Sleep(500 * time.Millisecond)
		if _, err := r.service.Rewind(t.Context(), hook.ID, selector.After(ids[2])); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantIDs(t, v.ids(), slices.Concat(ids, more, ids[3:], more))
		_, err := r.service.Rewind(t.Context(), hook.ID, selector.After(7))
		if !errors.Is(err, apic.ErrGone) {
			t.Errorf("got %v for a place that is gone", err)
		}
		if _, err := r.service.Rewind(t.Context(), "nobody", selector.Earliest()); !errors.Is(err, apic.ErrNotFound) {
			t.Errorf("got %v for nobody", err)
		}
		// To skip what one does not want, too.
		v.set(status(500))
		r.line.add(tenants(50)...)
		time.Sleep(time.Minute)
		if _, err := r.service.Rewind(t.Context(), hook.ID, selector.Latest()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := r.get(hook.ID); got.State != webhook.Active || got.Lag != 0 {
			t.Errorf("got %s with lag %d, want active and nothing left", got.State, got.Lag)
		}
	})
}

// While the store takes nothing, a webhook goes on for a while, and what was
// sent is not lost from the log.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := &failing{}
		r := newRig(t, func(o *webhook.Options) { broken.Store, o.Store = o.Store, broken })
		v := r.receive("192.0.2.7:80")
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		broken.set(errors.New("disk full"))
		if _, err := r.service.Create(t.Context(), []byte(`{"name":"x","url":"http://192.0.2.7/"}`)); err == nil || len(r.service.List()) != 1 {
			t.Errorf("got %v, and %d webhooks; want an error and one", err, len(r.service.List()))
		}
		if _, err := r.service.Update(t.Context(), hook.ID, []byte(`{"name":"x"}`)); err == nil || r.get(hook.ID).Name != "noc" {
			t.Errorf("got %v, and the name %s; want an error and the old name", err, r.get(hook.ID).Name)
		}
		want := r.line.add(tenants(3000)...)
		time.Sleep(time.Minute)
		if n := len(v.all()); n < 1000 || n > 1100 {
			t.Errorf("got %d requests while nothing can be stored, want about 1024", n)
		}
		broken.set(nil)
		time.Sleep(time.Minute)
		wantIDs(t, unique(v.ids()), want)
		list, err := r.service.Deliveries(t.Context(), hook.ID, 0, 5000)
		if err != nil || len(list) != 1000 || list[0].Seq != int64(len(v.all())) {
			t.Errorf("got %d deliveries, %v; want the last 1000", len(list), err)
		}
	})
}

type failing struct {
	mu sync.Mutex // guards err
	webhook.Store
	err error
}

func (f *failing) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) Commit(ctx context.Context, c []webhook.Change) error {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.Store.Commit(ctx, c)
}

func TestDeleteInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		v.set(func(_ http.ResponseWriter, req *http.Request, _ delivery) { <-req.Context().Done() })
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		r.line.add(tenants(3)...)
		time.Sleep(time.Second)
		if err := r.service.Delete(t.Context(), hook.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := len(v.all()); n != 1 {
			t.Errorf("got %d requests of a removed webhook, want one", n)
		}
		records, _ := r.store.Load(t.Context())
		if len(records) != 0 {
			t.Errorf("got %d records, want none", len(records))
		}
	})
}

// A batch that failed is sent again as it was, whatever has come meanwhile.
func TestSameMessageAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		v.set(status(500))
		r.create(`{"name":"noc","url":"http://192.0.2.7/hook","batch":100}`)
		ids := r.line.add(tenants(3)...)
		for range 5 {
			time.Sleep(10 * time.Minute)
			ids = append(ids, r.line.add(tenants(3)...)...)
		}
		v.set(nil)
		time.Sleep(time.Hour)
		list := v.all()
		for _, d := range list[:len(list)-1] {
			if got, want := d.header.Get("Webhook-Id"), fmt.Sprintf("%d-%d", ids[0], ids[2]); got != want || len(d.ids()) != 3 {
				t.Fatalf("got message %s with %d events, want %s with three", got, len(d.ids()), want)
			}
		}
		wantIDs(t, unique(v.ids()), ids)
	})
}

// A slowHub adds an event while an endpoint reads to the end of the timeline,
// and has the dispatcher pass it before the endpoint comes to rest.
type slowHub struct {
	*line
	once sync.Once
	id   apic.ID
}

func (h *slowHub) After(ctx context.Context, after apic.ID, n *apic.Narrow, limit int) ([]*apic.Entry, apic.ID, error) {
	entries, at, err := h.line.After(ctx, after, n, limit)
	if len(n.Classes) > 0 && len(entries) == 0 {
		h.once.Do(func() {
			h.id = h.add(tenant(7))[0]
			time.Sleep(time.Second)
		})
	}
	return entries, at, err
}

// Nothing is lost between a worker that has caught up and the dispatcher.
func TestSeam(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := &slowHub{}
		r := newRig(t, func(o *webhook.Options) {
			hub.line, _ = o.Hub.(*line)
			o.Hub = hub
		})
		v := r.receive("192.0.2.7:80")
		r.create(`{"name":"noc","url":"http://192.0.2.7/hook","class":"fvTenant"}`)
		time.Sleep(time.Minute)
		wantIDs(t, v.ids(), []apic.ID{hub.id})
	})
}
