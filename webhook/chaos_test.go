package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/webhook"
)

// A mortal store takes nothing more once the process that it belongs to has
// been killed.
type mortal struct {
	webhook.Store
	dead *atomic.Bool
}

var errKilled = errors.New("the process was killed")

func (m mortal) Commit(ctx context.Context, changes []webhook.Change) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.Store.Commit(ctx, changes)
}

// misbehave answers in one of the ways in which receivers are wrong.
func misbehave(random *rand.Rand, mu *sync.Mutex) func(w http.ResponseWriter, r *http.Request, d delivery) {
	return func(w http.ResponseWriter, r *http.Request, _ delivery) {
		mu.Lock()
		n := random.IntN(14)
		wait := time.Duration(random.Int64N(int64(20 * time.Second)))
		mu.Unlock()
		switch n {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case 3: // stalls
			select {
			case <-time.After(wait):
			case <-r.Context().Done():
			}
		case 4: // answers slowly
			time.Sleep(wait / 20)
		case 5: // closes mid-body
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusOK)
			io.WriteString(w, "ten bytes.")
			panic(http.ErrAbortHandler)
		case 6: // says nothing and closes
			panic(http.ErrAbortHandler)
		case 7: // 200 with an endless body
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		case 8: // and a slow one
			w.WriteHeader(http.StatusOK)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "."); err != nil {
					return
				}
				http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		case 9: // no HTTP
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			rw.WriteString("220 mail.example.com ESMTP\r\n")
			rw.Flush()
			c.Close()
		case 10:
			w.Header().Set("Retry-After", time.Now().Add(10*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	}
}

// TestChaos sends a random timeline to receivers that are wrong in every way,
// by a service that is killed and restarted all the time. Once all behave,
// each receiver must have been sent exactly what its webhook selects, in
// order, repeats aside; and one that behaved all the time was never kept
// waiting by the others. ACITAP_TEST_SEEDS asks for more.
func TestChaos(t *testing.T) {
	seeds := 3
	if testing.Short() {
		seeds = 1
	}
	if n, err := strconv.Atoi(os.Getenv("ACITAP_TEST_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { chaos(t, uint64(seed)) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 42))
	var randomMu sync.Mutex // of what receivers take from it
	dead := new(atomic.Bool)
	r := newRig(t, func(o *webhook.Options) { o.Store = mortal{o.Store, dead} })
	hooks := []struct {
		body string
		want func(e *apic.Entry) bool
	}{
		{`"class":"fvTenant"`, func(e *apic.Entry) bool { return e.Concerns("fvTenant") }},
		{`"batch":7`, func(*apic.Entry) bool { return true }},
		{`"filter":"status == \"deleted\"","batch":100`, func(e *apic.Entry) bool { return e.Gap != nil || e.Event.Status == apic.Deleted }},
		{`"class":["fvBD"],"status":"created"`, func(e *apic.Entry) bool {
			return e.Concerns("fvBD") && (e.Gap != nil || e.Event.Status == apic.Created)
		}},
		{`"class":"fvTenant"`, func(e *apic.Entry) bool { return e.Concerns("fvTenant") }}, // the innocent one
	}
	innocent := len(hooks) - 1
	var receivers []*receiver
	begin := r.line.Bounds().Newest
	for i, h := range hooks {
		v := r.receive(fmt.Sprintf("192.0.2.%d:80", i+1))
		hook := r.create(fmt.Sprintf(`{"name":"h%d","url":"http://192.0.2.%d/hook","retryFor":"168h",%s}`, i, i+1, h.body))
		v.secret = hook.Secret.Reveal()
		if i != innocent {
			v.answer = misbehave(random, &randomMu)
		}
		receivers = append(receivers, v)
	}
	added := make(map[apic.ID]time.Time)
	up := true // long enough that the innocent one has had its chance
	statuses := []apic.Status{apic.Created, apic.Modified, apic.Deleted}
	classes := []apic.Class{"fvTenant", "fvBD", "fvCEp"}
	for range 120 {
		randomMu.Lock()
		what := random.IntN(10)
		n := 1 + random.IntN(20)
		victim := 1 + random.IntN(innocent)
		pick := random.Perm(3)
		wait := time.Duration(random.Int64N(int64(10 * time.Second)))
		if random.IntN(4) == 0 {
			wait *= 60
		}
		randomMu.Unlock()
		switch {
		case what < 6:
			var list []apic.Entry
			for i := range n {
				list = append(list, event(classes[pick[i%3]], apic.DN(fmt.Sprintf("uni/tn-x%d", i)), statuses[pick[(i/3)%3]]))
			}
			if pick[0] == 0 {
				list = append(list, gap(apic.ReasonConnection, classes[pick[1]]))
			}
			now := time.Now()
			for _, id := range r.line.add(list...) {
				if up {
					added[id] = now
				}
			}
		case what == 6: // in good order
			r.stop()
			r.start()
		case what == 7: // killed
			dead.Store(true)
			r.stop()
			dead.Store(false)
			r.start()
		case what == 8:
			addr := fmt.Sprintf("192.0.2.%d:80", victim)
			r.network.Refuse(addr, true)
			time.AfterFunc(wait, func() { r.network.Refuse(addr, false) })
		default:
			r.network.Cut(fmt.Sprintf("192.0.2.%d:80", victim), n*50)
		}
		up = what < 6 || what > 7
		time.Sleep(wait)
	}
	for i, v := range receivers {
		v.set(nil)
		r.network.Refuse(fmt.Sprintf("192.0.2.%d:80", i+1), false)
	}
	time.Sleep(24 * time.Hour)

	for i, v := range receivers {
		var want []apic.ID
		entries, _, err := r.line.After(t.Context(), begin, &apic.Narrow{}, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if hooks[i].want(e) {
				want = append(want, e.ID)
			}
		}
		if got := unique(v.ids()); !slices.Equal(got, want) {
			t.Errorf("hook %d: got %d ids, want %d; they differ from index %d", i, len(got), len(want), mismatch(got, want))
		}
		if len(v.wrong) > 0 {
			t.Errorf("hook %d: got signatures that the library refuses: %v", i, v.wrong[:1])
		}
		if i == innocent {
			late := 0
			for _, d := range v.all() {
				for _, id := range d.ids() {
					if at, ok := added[id]; ok && d.at.Sub(at) > 5*time.Second { // a stop lets the others' requests end for three seconds
						late++
					}
					delete(added, id) // repeats are later
				}
			}
			if late > 0 {
				t.Errorf("%d events came late to a receiver that behaved", late)
			}
		}
	}
	for _, v := range r.service.List() {
		if v.State != webhook.Active || v.Lag != 0 {
			t.Errorf("%s is %s with lag %d: %s", v.Name, v.State, v.Lag, v.Error)
		}
	}
}
