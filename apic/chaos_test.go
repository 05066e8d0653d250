package apic_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
)

// A made is a change of the fabric, for the question who was told of it.
type made struct {
	at     time.Time
	dn     string
	class  string
	status apic.Status
}

// A changer changes the fabric as a network engineer could, and remembers.
type changer struct {
	r    *rig
	rng  *rand.Rand
	made []made
}

func (c *changer) note(class, dn string, status apic.Status) {
	c.made = append(c.made, made{time.Now(), dn, class, status})
}

func (c *changer) ensure(class, dn string) {
	if _, ok := c.r.fabric.Object(dn); ok {
		return
	}
	if err := c.r.fabric.Create(class, dn, nil); err != nil {
		c.r.t.Error(err)
	}
	c.note(class, dn, apic.Created)
}

func (c *changer) modify(class, dn, name, value string) {
	o, _ := c.r.fabric.Object(dn)
	if o.Attributes[name] == value {
		return
	}
	c.r.fabric.Modify(dn, map[string]string{name: value})
	c.note(class, dn, apic.Modified)
}

func (c *changer) delete(class, dn string) {
	if _, ok := c.r.fabric.Object(dn); ok {
		c.r.fabric.Delete(dn)
		c.note(class, dn, apic.Deleted)
	}
}

// change does one thing and says what.
func (c *changer) change() string {
	rng := c.rng
	tenant := fmt.Sprintf("uni/tn-t%d", rng.IntN(6))
	ap := tenant + "/ap-shop"
	bd := fmt.Sprintf("%s/BD-b%d", tenant, rng.IntN(4))
	epg := fmt.Sprintf("%s/epg-e%d", ap, rng.IntN(4))
	switch n := rng.IntN(20); {
	case n < 2:
		c.delete("fvTenant", tenant)
		return "delete " + tenant
	case n < 4:
		c.delete("fvBD", bd)
		return "delete " + bd
	case n < 6:
		c.delete("fvAEPg", epg)
		return "delete " + epg
	case n < 10:
		c.ensure("fvTenant", tenant)
		c.ensure("fvBD", bd)
		c.modify("fvBD", bd, "descr", strconv.Itoa(rng.IntN(1000)))
		return "modify " + bd
	case n < 15:
		c.ensure("fvTenant", tenant)
		c.ensure("fvAp", ap)
		c.ensure("fvAEPg", epg)
		c.modify("fvAEPg", epg, "descr", strconv.Itoa(rng.IntN(1000)))
		return "modify " + epg
	case n < 18:
		c.ensure("fvTenant", tenant)
		c.modify("fvTenant", tenant, "descr", strconv.Itoa(rng.IntN(1000)))
		return "modify " + tenant
	}
	c.ensure("fvTenant", tenant)
	c.ensure("fvBD", bd)
	for i := range 50 { // a burst
		c.modify("fvBD", bd, "descr", fmt.Sprint("burst ", i))
	}
	return "burst on " + bd
}

// silent returns the changes that nobody was told of: no live event told
// them, and no gap covers them.
func (c *changer) silent(entries []*apic.Entry, classes ...string) []made {
	var gaps []*apic.Gap
	live := map[string][]*apic.Event{}
	for _, e := range entries {
		if e.Gap != nil {
			gaps = append(gaps, e.Gap)
		} else {
			live[string(e.Event.DN)] = append(live[string(e.Event.DN)], e.Event)
		}
	}
	var list []made
next:
	for _, m := range c.made {
		if !slices.Contains(classes, m.class) {
			continue
		}
		for _, g := range gaps {
			if !m.at.Before(g.From) && !m.at.After(g.To) && (len(g.Classes) == 0 || slices.Contains(g.Classes, apic.Class(m.class))) {
				continue next
			}
		}
		for i, e := range live[m.dn] {
			within := 3 * time.Second
			if e.Origin == apic.Resync {
				within = time.Minute // read back, when the APIC answers
			} else if e.Status != m.status {
				continue
			}
			if !e.Time.Before(m.at.Truncate(time.Microsecond)) && e.Time.Sub(m.at) < within {
				live[m.dn] = slices.Delete(slices.Clone(live[m.dn]), i, i+1) // it told this one
				continue next
			}
		}
		list = append(list, m)
	}
	return list
}

// A mishap is a fault that the hub must get over by itself once it is healed.
type mishap struct {
	name string
	do   func(r *rig, c *apicsim.Controller, rng *rand.Rand)
}

// A push that an APIC loses on a socket that lives is seen only in what it
// leaves behind: the state is found again, but a value that was overwritten
// before anybody counted is not, as nothing on the wire numbers the pushes.
const pushesLost = "pushes lost"

var mishaps = []mishap{
	{"socket reset", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.DropSockets(apicsim.Reset) }},
	{"socket closed", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.DropSockets(apicsim.CloseGoingAway) }},
	{"socket cut in a frame", func(r *rig, c *apicsim.Controller, rng *rand.Rand) { c.DropAfter(1+rng.IntN(5), apicsim.CutFrame) }},
	{"half-open, REST alive", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.HalfOpen(true) }},
	{"half-open, REST dead", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.HalfOpen(false) }},
	{"network cut", func(r *rig, c *apicsim.Controller, rng *rand.Rand) { r.network.Cut("apic1:80", rng.IntN(2000)) }},
	{"token ended, socket closed", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.ExpireTokens(apicsim.CloseNormal) }},
	{"token ended, socket left open", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.ExpireTokens(apicsim.StayOpen) }},
	{"token refresh refused", func(r *rig, c *apicsim.Controller, rng *rand.Rand) { c.RefuseRefresh(1+rng.IntN(3), apicsim.Answer{}) }},
	{"session ended by an administrator", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { r.fabric.TerminateSessions("admin") }},
	{"subscriptions forgotten", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.ForgetSubscriptions("") }},
	{"one subscription forgotten", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.ForgetSubscriptions("fvTenant") }},
	{"subscriptions deaf", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.DeafenSubscriptions("", false) }},
	{"subscription refresh refused", func(r *rig, c *apicsim.Controller, rng *rand.Rand) { c.RefreshAnswer(1+rng.IntN(4), apicsim.Answer{}) }},
	{"throttled", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { c.Throttle(2, 1, apicsim.Answer{}) }},
	{"empty pages", func(r *rig, c *apicsim.Controller, rng *rand.Rand) {
		c.EmptyPages(1 + rng.IntN(3))
		c.DropSockets(apicsim.Reset)
	}},
	{"short pages", func(r *rig, c *apicsim.Controller, rng *rand.Rand) {
		c.ShortPages(1+rng.IntN(3), 1)
		c.DropSockets(apicsim.Reset)
	}},
	{"frames twice", func(r *rig, c *apicsim.Controller, rng *rand.Rand) { c.DuplicateFrames(1 + rng.IntN(20)) }},
	{"objects twice", func(r *rig, c *apicsim.Controller, rng *rand.Rand) { c.DuplicateObjects(1 + rng.IntN(20)) }},
	{pushesLost, func(r *rig, c *apicsim.Controller, rng *rand.Rand) { c.LoseNext(1 + rng.IntN(3)) }},
	{"status word", func(r *rig, c *apicsim.Controller, rng *rand.Rand) {
		c.StatusWord(1+rng.IntN(3), []string{"replaced", "created,modified", ""}[rng.IntN(3)])
	}},
	{"malformed frames", func(r *rig, c *apicsim.Controller, _ *rand.Rand) {
		for _, s := range []string{"", "{", "[]", "<?xml?>", `{"imdata":1}`, `{"subscriptionId":["7"],"imdata":[{"fvTenant":{}}]}`, "{\"subscriptionId\":\"1\",\"imdata\":[{\"fvTenant\":{\"attributes\":{\"dn\":\"\xff\"}}}]}"} {
			c.Inject(apicsim.Frame{Payload: []byte(s)})
		}
	}},
	{"slow answers", func(r *rig, c *apicsim.Controller, rng *rand.Rand) {
		c.DelayAnswer(&apicsim.SlowAnswer{Delay: time.Duration(rng.IntN(20)) * time.Second})
		c.DropSockets(apicsim.Reset)
	}},
	{"controller restarts", func(r *rig, c *apicsim.Controller, rng *rand.Rand) { c.Reboot(apicsim.Reboot{}) }},
	{"login refused once", func(r *rig, c *apicsim.Controller, _ *rand.Rand) {
		c.Fail("aaaLogin", 2, apicsim.Answer{Status: 503})
		c.DropSockets(apicsim.Reset)
	}},
	{"children not told", func(r *rig, c *apicsim.Controller, rng *rand.Rand) {
		r.fabric.OrphanDelete(fmt.Sprintf("uni/tn-t%d", rng.IntN(6)))
	}},
	{"session's life short", func(r *rig, c *apicsim.Controller, rng *rand.Rand) {
		c.Lifetimes(0, time.Duration(5+rng.IntN(10))*time.Minute)
		c.DropSockets(apicsim.Reset)
	}},
	{"acitap restarts", func(r *rig, c *apicsim.Controller, _ *rand.Rand) { r.stop(); time.Sleep(time.Second); r.start() }},
}

// TestChaos drives random changes and random mishaps through the session and
// the hub, and holds what a reader folded, what the hub holds and what the
// fabric is against each other.
func TestChaos(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if s := os.Getenv("ACITAP_TEST_SEEDS"); s != "" { // many, to look for rare ones
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for i := uint64(5); i <= n; i++ {
			seeds = append(seeds, i)
		}
	}
	if s := os.Getenv("ACITAP_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{n}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { chaos(t, seed, 40) })
		})
	}
}

func chaos(t *testing.T, seed uint64, rounds int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	lossy := seed%4 == 0
	r := newRig(t, chaotic(seed))
	classes := []string{"fvTenant", "fvBD", "fvAEPg"}
	r.subscribe("/api/class/fvTenant.json")
	r.subscribe("/api/mo/uni.json?query-target=subtree&target-subtree-class=fvBD,fvAEPg")
	r.subscribe("/api/class/fvBD.json") // overlaps
	c := r.fabric.Controller(0)
	ch := &changer{r: r, rng: rng}
	var log []string
	for range rounds {
		for range rng.IntN(15) {
			log = append(log, ch.change())
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		}
		m := mishaps[rng.IntN(len(mishaps))]
		if !lossy && m.name == pushesLost {
			continue
		}
		log = append(log, fmt.Sprintf("%s MISHAP %s", time.Now().Format("15:04:05"), m.name))
		m.do(r, c, rng)
		for range rng.IntN(15) {
			log = append(log, ch.change())
			time.Sleep(time.Duration(rng.IntN(8000)) * time.Millisecond)
		}
		if rng.IntN(3) == 0 {
			time.Sleep(time.Duration(rng.IntN(600)) * time.Second)
		}
		r.fabric.Heal()
	}
	// Everything must be found within the time for what is hardest to find.
	time.Sleep(10 * time.Minute)
	r.quiet()
	f := fold{}
	var last apic.ID
	for _, e := range r.entries() {
		if e.ID <= last {
			t.Errorf("id %d comes after id %d", e.ID, last)
		}
		last = e.ID
		if e.Event != nil {
			f.add(e.Event)
		}
	}
	want := r.simulated(classes...)
	if diff := cmp.Diff(want, r.held(classes...)); diff != "" {
		t.Errorf("objects (-fabric +held):\n%s", diff)
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("fold (-fabric +told):\n%s", diff)
	}
	for _, m := range ch.silent(r.entries(), classes...) {
		if lossy {
			break
		}
		t.Errorf("nobody was told that %s %s was %s at %s, and no gap covers it", m.class, m.dn, m.status, m.at.Format("15:04:05.000"))
	}
	if busiest := r.fabric.Busiest(time.Second, ""); busiest > 10 {
		t.Errorf("up to %d requests in one second, want at most 10", busiest)
	}
	if t.Failed() {
		for _, l := range log {
			t.Log(l)
		}
	}
}

func chaotic(seed uint64) apicsim.Options {
	return apicsim.Options{Seed: seed, ParentLast: seed%2 == 0, Housekeeping: seed%3 == 0, AnyClass: true}
}

// TestSoak is a day of random changes and mishaps at random moments. A reader
// follows all the time; the log holds far less than the day. In the end what
// the reader folded is the fabric, and no more memory is used than after the
// first hours.
func TestSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(24, 1))
		r := newRig(t, chaotic(3), func(o *apic.Options) { o.Ring = 500 })
		r.subscribe("/api/class/fvTenant.json")
		r.subscribe("/api/mo/uni.json?query-target=subtree&target-subtree-class=fvBD,fvAEPg")
		ch := &changer{r: r, rng: rng}
		f := fold{}
		at := r.hub.Bounds().Floor
		follow := func() {
			for {
				entries, reached, err := r.hub.After(t.Context(), at, &apic.Narrow{Kinds: apic.EventsOnly}, 1000)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					f.add(e.Event)
				}
				if reached == at {
					break
				}
				at = reached
			}
			if b := r.hub.Bounds(); b.Newest-b.Floor > 2000 {
				r.journal.Forget(b.Newest - 1000)
			}
		}
		heap := func() uint64 {
			ch.made = nil
			r.fabric.Heal()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		began := time.Now()
		early := uint64(0)
		n := 0
		for ; time.Since(began) < 24*time.Hour; n++ {
			for range rng.IntN(12) {
				ch.change()
				time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
				follow()
			}
			mishaps[rng.IntN(len(mishaps))].do(r, r.fabric.Controller(0), rng)
			for range rng.IntN(12) {
				ch.change()
				time.Sleep(time.Duration(rng.IntN(9000)) * time.Millisecond)
				follow()
			}
			time.Sleep(time.Duration(rng.IntN(1200)) * time.Second)
			follow()
			r.fabric.Heal()
			if early == 0 && time.Since(began) > 6*time.Hour {
				early = heap()
			}
		}
		time.Sleep(10 * time.Minute)
		r.quiet()
		follow()
		classes := []string{"fvTenant", "fvBD", "fvAEPg"}
		want := r.simulated(classes...)
		if diff := cmp.Diff(want, r.held(classes...)); diff != "" {
			t.Errorf("objects (-fabric +held):\n%s", diff)
		}
		if diff := cmp.Diff(want, f); diff != "" {
			t.Errorf("fold (-fabric +told):\n%s", diff)
		}
		late := heap()
		t.Logf("%d mishaps, %d entries; heap %d KB after 6 h, %d KB after 24 h", n, at-r.hub.Bounds().Origin, early>>10, late>>10)
		if late > early*3/2+4<<20 {
			t.Errorf("heap grew from %d KB after 6 h to %d KB after 24 h", early>>10, late>>10)
		}
	})
}
