package apic_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/eventlog"
)

// A rig is a whole acitap, less HTTP, over a simulated fabric on a network in
// memory. It must be made inside a synctest bubble.
type rig struct {
	t       *testing.T
	fabric  *apicsim.Fabric
	network *apicsim.Network
	journal *eventlog.MemoryLog
	hub     *apic.Hub
	options apic.Options
	stop    func() // ends the hub and waits for it
}

func host(i int) string { return fmt.Sprintf("apic%d", i+1) }

// newRig makes a fabric with its controllers and a hub that runs.
func newRig(t *testing.T, o apicsim.Options, with ...func(*apic.Options)) *rig {
	r := &rig{t: t, network: apicsim.NewNetwork(), journal: eventlog.Memory(eventlog.Options{})}
	r.fabric = apicsim.New(o)
	for i := range r.fabric.Controllers() {
		l, err := r.network.Listen(host(i) + ":80")
		if err != nil {
			t.Fatal(err)
		}
		c := r.fabric.Controller(i)
		server := &http.Server{Handler: c}
		go server.Serve(c.Listener(l))
		t.Cleanup(func() { server.Close() })
		r.options.Controllers = append(r.options.Controllers, &url.URL{Scheme: "http", Host: host(i)})
	}
	t.Cleanup(r.fabric.Close)
	r.options.User, r.options.Password = "admin", "cisco123"
	r.options.Dial = r.network.DialContext
	r.options.Journal = r.journal
	if os.Getenv("ACITAP_TEST_LOG") != "" {
		r.options.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, f := range with {
		f(&r.options)
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// start opens a hub on the journal and runs it.
func (r *rig) start() {
	hub, err := apic.New(r.t.Context(), r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.hub = hub
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := hub.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	r.stop = func() {
		cancel()
		<-done
	}
}

// subscribe subscribes a class and waits until it is active.
func (r *rig) subscribe(query string) apic.Subscription {
	r.t.Helper()
	q, err := apic.ParseQuery(query)
	if err != nil {
		r.t.Fatal(err)
	}
	s, _, err := r.hub.Subscribe(r.t.Context(), q, false)
	if err != nil {
		r.t.Fatal(err)
	}
	for range 600 {
		if s.State == apic.Active {
			return s
		}
		time.Sleep(time.Second) // virtual
		for _, x := range r.hub.Subscriptions(r.t.Context()) {
			if x.ID == s.ID {
				s = x
			}
		}
	}
	r.t.Fatalf("subscription is %s (%s) after ten minutes, want active", s.State, s.Error)
	return s
}

// entries returns the whole timeline.
func (r *rig) entries() []*apic.Entry {
	r.t.Helper()
	var list []*apic.Entry
	for e, err := range r.hub.Read(r.t.Context(), apic.Range{After: r.hub.Bounds().Floor}) {
		if err != nil {
			r.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// quiet waits until nothing happens for a while.
func (r *rig) quiet() {
	for last := apic.ID(-1); ; {
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if now := r.hub.Bounds().Newest; now == last {
			return
		} else {
			last = now
		}
	}
}

// A fold is what a reader of events believes: attributes by DN.
type fold map[string]map[string]string

// add applies an event as any client would.
func (f fold) add(e *apic.Event) {
	dn := string(e.DN)
	switch e.Status {
	case apic.Deleted:
		delete(f, dn)
		return
	case apic.Created:
		f[dn] = map[string]string{}
	}
	if f[dn] == nil {
		f[dn] = map[string]string{"!": "modified before it was created"}
	}
	for n, v := range e.Attributes.All() {
		switch n {
		case "status", "childAction", "rn":
		default:
			f[dn][n] = v
		}
	}
}

// simulated returns the fabric's objects of some classes as a fold.
func (r *rig) simulated(classes ...string) fold {
	f := fold{}
	for _, c := range classes {
		for _, o := range r.fabric.Objects(c) {
			attrs := map[string]string{"dn": o.DN, "modTs": o.ModTs}
			for n, v := range o.Attributes {
				switch n {
				case "status", "childAction", "rn":
				default:
					attrs[n] = v
				}
			}
			f[o.DN] = attrs
		}
	}
	return f
}

// held returns what the hub says is true now.
func (r *rig) held(classes ...string) fold {
	var n apic.Narrow
	for _, c := range classes {
		n.Classes = append(n.Classes, apic.Class(c))
	}
	f := fold{}
	objects, _ := r.hub.Objects(&n, "", 0)
	for _, o := range objects {
		f[string(o.DN)] = o.Attrs.Map()
	}
	return f
}

// contextWithStop is for tests outside a bubble.
func contextWithStop(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx, cancel
}
