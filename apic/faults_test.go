package apic_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
)

// A trial is one fault while the fabric changes twice a second.
type trial struct {
	row  string // of the protocol page's section 7
	name string
	// within bounds the time from the fault to the end of the comparison that
	// heals it. Zero: the fault must leave no gap and lose nothing at all.
	within time.Duration
	do     func(r *rig)
	heal   func(r *rig) // after a minute, where the fault does not end by itself
	sim    apicsim.Options
	// Where it holds, every change must be told live although there is a gap.
	lossless bool
	readBack int    // so many changes are told by reading the object back, without a gap
	query    string // subscribed besides fvBD
}

// sockets, sessions and subscriptions: what "How soon trouble is found" of the
// contract promises, plus the time for the comparison.
const (
	atOnce   = 62 * time.Second // found at once, healed within 60 s
	halfOpen = 95*time.Second + 60*time.Second
	deaf     = 7 * time.Minute
	refresh  = 30 * time.Second // at the next refresh
)

func c0(r *rig) *apicsim.Controller { return r.fabric.Controller(0) }

var trials = []trial{
	{row: "F1", name: "token ended, socket closed with 1000", within: atOnce, do: func(r *rig) { c0(r).ExpireTokens(apicsim.CloseNormal) }},
	{row: "F1", name: "token ended, socket closed with 1001", within: atOnce, do: func(r *rig) { c0(r).ExpireTokens(apicsim.CloseGoingAway) }},
	{row: "F1", name: "token ended, socket reset", within: atOnce, do: func(r *rig) { c0(r).ExpireTokens(apicsim.Reset) }},
	{row: "F1", name: "token ended, socket left open and silent", within: atOnce, do: func(r *rig) { c0(r).ExpireTokens(apicsim.StayOpen) }},
	{row: "F2", name: "token refresh refused once", do: func(r *rig) { c0(r).RefuseRefresh(1, apicsim.Answer{Status: 503}) }, sim: apicsim.Options{RefreshTimeout: 2 * time.Minute}},
	{row: "F2", name: "token refresh refused for good", within: 3 * time.Minute, do: func(r *rig) { c0(r).RefuseRefresh(1, apicsim.Answer{}) }, sim: apicsim.Options{RefreshTimeout: 2 * time.Minute}},
	{row: "F5", name: "end of the session's life", do: func(r *rig) {}, sim: apicsim.Options{MaximumLifetime: 4 * time.Minute}},
	{row: "F6", name: "socket refused with 503 for a while", within: 2 * time.Minute, do: func(r *rig) { c0(r).RefuseSocket(3, apicsim.Answer{Status: 503}); c0(r).DropSockets(apicsim.Reset) }},
	{row: "F7", name: "socket reset", within: atOnce, do: func(r *rig) { c0(r).DropSockets(apicsim.Reset) }},
	{row: "F7", name: "socket closed with 1001", within: atOnce, do: func(r *rig) { c0(r).DropSockets(apicsim.CloseGoingAway) }},
	{row: "F7", name: "socket cut in the middle of a frame", within: atOnce, do: func(r *rig) { c0(r).DropAfter(1, apicsim.CutFrame) }},
	{row: "F8", name: "half-open socket, REST alive", within: halfOpen, do: func(r *rig) { c0(r).HalfOpen(false) }},
	{row: "F8", name: "half-open socket, REST dead for a minute", within: halfOpen, do: func(r *rig) { c0(r).HalfOpen(true) }, heal: func(r *rig) { c0(r).Heal() }},
	{row: "F8", name: "network frozen for a minute", do: func(r *rig) { r.network.Freeze("apic1:80") }, heal: func(r *rig) { r.network.Thaw("apic1:80") }, within: halfOpen},
	{row: "F9", name: "pings unanswered while data flows", do: func(r *rig) { c0(r).IgnorePings(true) }},
	{row: "F10", name: "one subscription vanishes", within: refresh, do: func(r *rig) { c0(r).ForgetSubscriptions("fvBD") }},
	{row: "F11", name: "subscription refresh answers HTML 503 twice", do: func(r *rig) { c0(r).RefreshAnswer(2, apicsim.Answer{Status: 503}) }},
	{row: "F11", name: "subscription refresh answers 400 once", within: refresh, lossless: true, do: func(r *rig) { c0(r).RefreshAnswer(1, apicsim.Answer{Status: 400}) }},
	{row: "F13", name: "throttled to 1 request/s for a minute", do: func(r *rig) { c0(r).Throttle(1, 1, apicsim.Answer{}) }, heal: func(r *rig) { c0(r).Heal() }},
	{row: "F15", name: "empty and short pages in the comparison", within: 2 * time.Minute, do: func(r *rig) {
		c0(r).EmptyPages(1)
		c0(r).ShortPages(1, 1)
		c0(r).DropSockets(apicsim.Reset)
	}},
	{row: "F16", name: "slow snapshot, pushes before the answer", within: 2 * time.Minute, do: func(r *rig) {
		c0(r).DelayAnswer(&apicsim.SlowAnswer{Delay: 20 * time.Second})
		c0(r).DropSockets(apicsim.Reset)
	}, heal: func(r *rig) { c0(r).Heal() }},
	{row: "F17", name: "malformed frames", do: func(r *rig) {
		for _, s := range []string{"", "{", "null", "[]", "<?xml version=\"1.0\"?>", `{"imdata":[]}`, `{"subscriptionId":"{id}"}`, `{"subscriptionId":["{id}"],"imdata":[{"fvBD":{}}]}`, `{"subscriptionId":["{id}"],"imdata":[{"fvBD":{"attributes":{"dn":7}}}]}`, "\xff\xfe", strings.Repeat("[", 100000)} {
			c0(r).Inject(apicsim.Frame{Payload: []byte(s)})
			c0(r).Inject(apicsim.Frame{Payload: []byte(s), Binary: true})
		}
	}},
	{row: "F18", name: "every frame twice", do: func(r *rig) { c0(r).DuplicateFrames(1000) }},
	{row: "F18", name: "every object twice in its frame", do: func(r *rig) { c0(r).DuplicateObjects(1000) }},
	{row: "F19", name: "modTs that say never", do: func(r *rig) { c0(r).ModTs(20, "never") }},
	{row: "F20", name: "a status word never seen before", readBack: 1, do: func(r *rig) { c0(r).StatusWord(1, "replaced") }},
	{row: "F20", name: "status words never seen before, many", readBack: 20, do: func(r *rig) { c0(r).StatusWord(20, "created,modified") }},
	{row: "F23", name: "subscriptions that refresh and are never pushed", within: deaf, do: func(r *rig) { c0(r).DeafenSubscriptions("", false) }},
	{row: "F24", name: "leaf reboots, its pushes end without a word", within: deaf, query: "/api/class/ethpmPhysIf.json", do: func(r *rig) {
		if err := r.fabric.LeafReboot("topology/pod-1/node-101", 30*time.Second, true); err != nil {
			r.t.Error(err)
		}
	}, lossless: true},
	{row: "F28", name: "controller restarts", within: 5 * time.Minute, do: func(r *rig) {
		c0(r).Reboot(apicsim.Reboot{Refuse: 40 * time.Second, Unavailable: 30 * time.Second, Hollow: 20 * time.Second})
	}},
	{row: "F29", name: "failover to another controller", within: atOnce, sim: apicsim.Options{Controllers: 2}, do: func(r *rig) {
		r.network.Refuse("apic1:80", true)
		c0(r).DropSockets(apicsim.Reset)
	}},
	{row: "F33", name: "controller's clock off by ten minutes", do: func(r *rig) { c0(r).Skew(10 * time.Minute) }},
	{row: "F36", name: "session ended by an administrator", within: atOnce, do: func(r *rig) { r.fabric.TerminateSessions("admin") }},
	{row: "F37", name: "403 for one DN while the session is good", do: func(r *rig) { c0(r).Forbid("uni/tn-secret") }},
}

// A result is one line of the table.
type result struct {
	trial
	healed              time.Duration // from the fault to the end of the comparison, 0 without a gap
	silent              time.Duration // how long a change waited to be told or announced
	live, rebuilt, lost int
	bracketed           bool
}

// TestFaults is the table of what an APIC does and what acitap makes of it.
// Show it with go test -run TestFaults -v.
func TestFaults(t *testing.T) {
	var results []result
	for _, tr := range trials {
		t.Run(tr.row+" "+tr.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				results = append(results, try(t, tr))
			})
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-4s %-50s %8s %8s %6s %8s %6s %s\n", "row", "fault", "healed", "silent", "live", "rebuilt", "lost", "gap")
	for _, r := range results {
		gap := "none"
		if r.healed > 0 {
			gap = "brackets it"
			if !r.bracketed {
				gap = "DOES NOT BRACKET IT"
			}
		}
		fmt.Fprintf(&b, "%-4s %-50s %7.0fs %7.0fs %6d %8d %6d %s\n", r.row, r.name, r.healed.Seconds(), r.silent.Seconds(), r.live, r.rebuilt, r.lost, gap)
	}
	t.Log(b.String())
}

func try(t *testing.T, tr trial) result {
	tr.sim.Seed = 1
	r := newRig(t, tr.sim)
	r.fabric.Populate(apicsim.Profile{Tenants: 2, Leaves: 2, Spines: 1, PortsPerLeaf: 4, Endpoints: -1, Faults: -1})
	r.subscribe("/api/class/fvBD.json")
	classes := []string{"fvBD"}
	if tr.query != "" {
		r.subscribe(tr.query)
	}
	var made []made
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // the fabric changes twice a second, all the time
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			dn := fmt.Sprintf("uni/tn-common/BD-b%d", i%7)
			m := madeBD(dn, apic.Modified)
			if _, ok := r.fabric.Object(dn); !ok {
				m.status = apic.Created
				r.fabric.Create("fvBD", dn, nil)
			} else if i%31 == 30 {
				m.status = apic.Deleted
				r.fabric.Delete(dn)
			} else {
				r.fabric.Modify(dn, map[string]string{"descr": fmt.Sprint(i)})
			}
			made = append(made, m)
			time.Sleep(500 * time.Millisecond)
		}
	}()
	time.Sleep(2 * time.Minute)
	gapsBefore := 0
	for _, e := range r.entries() {
		if e.Gap != nil {
			gapsBefore++
		}
	}
	if gapsBefore > 0 {
		t.Errorf("%d gaps before the fault", gapsBefore)
	}
	struck := time.Now()
	tr.do(r)
	time.Sleep(time.Minute)
	if tr.heal != nil {
		tr.heal(r)
	}
	time.Sleep(9 * time.Minute)
	cancel()
	<-done
	r.quiet()

	res := result{trial: tr, bracketed: true}
	untold := 0
	var gaps []*apic.Gap
	live, readBack := map[string][]*apic.Event{}, map[string][]*apic.Event{}
	f := fold{}
	for _, e := range r.entries() {
		if e.Gap != nil {
			gaps = append(gaps, e.Gap)
			if h := e.Gap.To.Sub(struck); h > res.healed {
				res.healed = h
			}
			continue
		}
		f.add(e.Event)
		switch e.Event.Origin {
		case apic.Live:
			live[string(e.Event.DN)] = append(live[string(e.Event.DN)], e.Event)
		case apic.Resync:
			res.rebuilt++
			readBack[string(e.Event.DN)] = append(readBack[string(e.Event.DN)], e.Event)
		}
	}
	for _, m := range made {
		i := slices.IndexFunc(live[m.dn], func(e *apic.Event) bool {
			return e.Status == m.status && !e.Time.Before(m.at.Truncate(time.Microsecond)) && e.Time.Sub(m.at) < 3*time.Second
		})
		if i >= 0 {
			live[m.dn] = slices.Delete(live[m.dn], i, i+1)
			res.live++
			continue
		}
		if i := slices.IndexFunc(readBack[m.dn], func(e *apic.Event) bool {
			return !e.Time.Before(m.at.Truncate(time.Microsecond)) && e.Time.Sub(m.at) < 3*time.Second
		}); tr.readBack > 0 && i >= 0 {
			readBack[m.dn] = slices.Delete(readBack[m.dn], i, i+1)
			continue
		}
		covered := false
		for _, g := range gaps {
			if !m.at.Before(g.From) && !m.at.After(g.To) && slices.Contains(g.Classes, "fvBD") {
				covered = true
				res.silent = max(res.silent, g.To.Sub(m.at))
			}
		}
		res.lost++
		if !covered {
			res.bracketed = false
			if untold++; untold < 4 {
				t.Errorf("%s %s at %s was told by nothing and no gap covers it", m.dn, m.status, m.at.Sub(struck))
			}
		}
	}
	res.lost = max(0, res.lost-res.rebuilt)
	for dn, left := range live {
		for _, e := range left {
			if strings.HasPrefix(dn, "uni/tn-common/BD-b") {
				t.Errorf("told live and never happened, or told twice: %s %s at %s", dn, e.Status, e.Time.Sub(struck))
			}
		}
	}
	want := r.simulated(classes...)
	if diff := cmp.Diff(want, r.held(classes...)); diff != "" {
		t.Errorf("objects (-fabric +held):\n%s", diff)
	}
	for dn := range f {
		if !strings.Contains(dn, "/BD-") {
			delete(f, dn)
		}
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("fold (-fabric +told):\n%s", diff)
	}
	switch {
	case tr.within == 0 && len(gaps) > 0:
		t.Errorf("%d gaps (first: %+v), want none: nothing was out of sight", len(gaps), *gaps[0])
	case tr.within == 0 && (res.lost > 0 || res.rebuilt != tr.readBack):
		t.Errorf("%d lost, %d rebuilt, want 0 and %d", res.lost, res.rebuilt, tr.readBack)
	case tr.lossless && res.lost+res.rebuilt > 0:
		t.Errorf("%d lost, %d rebuilt, want all told live", res.lost, res.rebuilt)
	case tr.within > 0 && len(gaps) == 0:
		t.Error("no gap on the timeline")
	case res.healed > tr.within:
		t.Errorf("healed after %s, want within %s", res.healed, tr.within)
	}
	if n := r.fabric.Busiest(time.Second, ""); n > 10 {
		t.Errorf("up to %d requests in one second, want at most 10", n)
	}
	if n := r.fabric.Busiest(5*time.Second, "aaaLogin"); n > 1 {
		t.Errorf("up to %d logins in 5 s, want one", n)
	}
	return res
}

func madeBD(dn string, status apic.Status) made { return made{time.Now(), dn, "fvBD", status} }
