package handlers_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/handlers"
)

func TestNextWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvBD")
		r.do("GET /events/fvBD/next?max=1000")
		begun := time.Now()
		r.do("GET /events/fvBD/next?wait=30s").want(204)
		if took := time.Since(begun); took != 30*time.Second {
			t.Errorf("an empty wait=30s took %v", took)
		}
		go func() {
			time.Sleep(7 * time.Second)
			r.create("fvBD", "uni/tn-common/BD-later")
		}()
		begun = time.Now()
		if got := r.do("GET /events/fvBD/next?wait=60s").want(200).event().DN; got != "uni/tn-common/BD-later" {
			t.Errorf("got %s", got)
		}
		if took := time.Since(begun); took < 7*time.Second || took > 8*time.Second {
			t.Errorf("an event after 7 s was handed out after %v", took)
		}
	})
}

// A caller that hangs up while waiting takes nothing.
func TestNextHangsUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvBD")
		r.do("GET /events/fvBD/next?max=1000")
		for _, method := range []string{"GET", "POST"} {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				time.Sleep(5 * time.Second)
				cancel()
			}()
			if _, err := r.try(ctx, method+" /events/fvBD/next?wait=60s"); err == nil {
				t.Fatal("want the call to be given up")
			}
			r.settle()
		}
		r.create("fvBD", "uni/tn-common/BD-x")
		r.settle()
		r.do("GET /events/fvBD/next").want(200, "BD-x")
	})
}

// Each event goes to exactly one caller.
func TestNextOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvBD")
		r.do("GET /events/fvBD/next?max=1000")
		const n = 300
		for i := range n {
			r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%03d", i))
		}
		r.settle()
		var mu sync.Mutex
		seen := make(map[string]int)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				call := "GET /events/fvBD/next"
				if i%2 == 1 {
					call += "?max=7"
				}
				for last := int64(0); ; {
					a := r.do(call)
					if a.status == 204 {
						return
					}
					list := []event{a.want(200).event()}
					if i%2 == 1 {
						list = a.events().Events
					}
					mu.Lock()
					for _, e := range list {
						seen[e.DN]++
						if e.ID <= last {
							t.Errorf("caller %d got id %d after %d", i, e.ID, last)
						}
						last = e.ID
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != n {
			t.Errorf("got %d of %d events", len(seen), n)
		}
		for dn, times := range seen {
			if times != 1 {
				t.Errorf("%s was handed out %d times", dn, times)
			}
		}
	})
}

func TestConsumers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvTenant")
		// A new name begins with the next event.
		r.do("GET /events/fvTenant/next?consumer=new").want(204)
		all := r.do("GET /events/fvTenant/next?consumer=old&since=earliest&max=10").want(200).events().Events
		if len(all) != 3 {
			t.Fatalf("got %v, want the three tenants", all)
		}
		r.create("fvTenant", "uni/tn-a")
		r.settle()
		// What is taken here is still there for the others; since does nothing any more.
		for _, call := range []string{"consumer=new", "consumer=old&since=earliest", "consumer=old2&since=" + strconv.FormatInt(all[2].ID, 10)} {
			if got := r.do("GET /events/fvTenant/next?" + call).want(200).event().DN; got != "uni/tn-a" {
				t.Errorf("%s: got %s, want uni/tn-a", call, got)
			}
		}
		r.do("GET /events/fvTenant/pending").want(200, `"pending":4`)

		// At least once.
		first := r.do("GET /events/fvTenant/next?consumer=sure&since=earliest&ack=0&max=2").want(200).events().Events
		again := r.do("GET /events/fvTenant/next?consumer=sure&ack=0&max=2").want(200).events().Events
		if len(first) != 2 || fmt.Sprint(first) != fmt.Sprint(again) {
			t.Errorf("got %v and then %v, want the same until it is acked", first, again)
		}
		rest := r.do("POST /events/fvTenant/next", fmt.Sprintf(`{"consumer":"sure","ack":%d,"max":1000}`, first[1].ID)).want(200).events().Events
		if len(rest) != 2 || rest[0].DN != "uni/tn-mgmt" {
			t.Errorf("got %v behind the ack, want two from uni/tn-mgmt on", rest)
		}
		var list struct {
			Consumers []struct {
				Name, Class string
				Place, Lag  int64
			}
		}
		r.do("GET /events/fvTenant/consumers").want(200).into(&list)
		names := ""
		for _, c := range list.Consumers {
			names += fmt.Sprintf("%s:%d ", c.Name, c.Lag)
		}
		if want := "new:0 old:0 old2:0 sure:2 "; names != want {
			t.Errorf("got consumers %q, want %q", names, want)
		}
	})
}

// After a gap the next answer names it, and no gap is handed out.
func TestGapHeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvBD")
		r.do("GET /events/fvBD/next?max=1000")
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		r.create("fvBD", "uni/tn-common/BD-hidden")
		time.Sleep(2 * time.Minute)
		r.create("fvBD", "uni/tn-common/BD-after")
		r.settle()
		var got []event
		header := ""
		for range 2 {
			a := r.do("GET /events/fvBD/next").want(200)
			got = append(got, a.event())
			if h := a.header.Get("Acitap-Gap"); h != "" {
				header = h
			}
		}
		if got[0].DN != "uni/tn-common/BD-hidden" || got[0].Origin != "resync" || got[1].DN != "uni/tn-common/BD-after" {
			t.Errorf("got %v, want the hidden one by resync, then the other", got)
		}
		gaps := r.do("GET /events/fvBD?kind=gap").want(200).events().Events
		if len(gaps) != 1 || header != strconv.FormatInt(gaps[0].ID, 10) {
			t.Errorf("got Acitap-Gap %q, want the id of the one gap in %v", header, gaps)
		}
	})
}

// Retention that overtakes a queue is told once, then it goes on.
func TestQueueGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(s *settings) { s.hub.Ring = 2 })
		r.subscribe("fvBD")
		for i := range 10 {
			r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%d", i))
		}
		r.settle()
		newest := r.hub.Bounds().Newest
		r.journal.Forget(newest - 3)
		r.do("GET /events/fvBD/next").want(410, fmt.Sprintf(`"oldest":%d`, newest-2), `"reason":"retention"`)
		r.do("GET /events/fvBD/next").want(200, "BD-7")
	})
}

// On shutdown waiting calls end, spread over two seconds, and take nothing.
func TestShutdownOfWaiters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvBD")
		r.do("GET /events/fvBD/next?max=1000")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var ends []time.Duration
		begun := time.Now()
		for i := range 40 {
			wg.Go(func() {
				call := "GET /events/fvBD/next?wait=60s"
				if i%2 == 1 {
					call = "GET /wait?class=fvBD"
				}
				r.do(call).want(204)
				mu.Lock()
				ends = append(ends, time.Since(begun))
				mu.Unlock()
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		r.stop(handlers.ErrStopping)
		wg.Wait()
		spread(t, ends, time.Second)
	})
}

// spread checks that things ended over about two seconds from a moment on.
func spread(t *testing.T, ends []time.Duration, from time.Duration) {
	t.Helper()
	low, high := ends[0], ends[0]
	for _, e := range ends {
		low, high = min(low, e), max(high, e)
	}
	if low < from || high > from+2100*time.Millisecond || high-low < 500*time.Millisecond {
		t.Errorf("%d ended from %v to %v, want them spread over two seconds from %v on", len(ends), low, high, from)
	}
}
