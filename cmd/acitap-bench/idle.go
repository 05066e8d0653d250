package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/acitap/acitap/apicsim"
)

// quiet lets a service come to rest: garbage of what was before is not to be
// counted as memory of what comes.
func (b *bench) quiet() time.Duration {
	return time.Duration(min(3, b.size.seconds) * float64(time.Second))
}

func (b *bench) idleClients(ctx context.Context) ([]row, error) {
	var rows []row
	for _, n := range b.size.idle {
		r, err := b.idleClientsOf(ctx, n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (b *bench) idleClientsOf(ctx context.Context, clients int) (r row, err error) {
	rig, err := b.rig(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	most := raiseFiles() - 100
	r = row{Scenario: thousands(clients) + " idle clients", Server: "acitap", Clients: clients, Rounds: 1}
	if clients > most {
		r.note("scaled down from %s clients: a process may have %s descriptors here", thousands(clients), thousands(most+100))
		clients, r.Clients = most, most
		r.Scenario = thousands(clients) + " idle clients"
	}
	// One client comes and goes first, so that what the first of all costs (code
	// paged in, buffers of the server) is not counted.
	c, err := rig.crowd(ctx, 1, 1, "/events/stream", "text/event-stream", formSSE)
	if err != nil {
		return r, err
	}
	c.close()
	time.Sleep(b.quiet())
	before, m0, err := rig.svc.state()
	if err != nil {
		return r, err
	}
	begun := time.Now()
	if c, err = rig.crowd(ctx, clients, 2, "/events/stream", "text/event-stream", formSSE); err != nil {
		return r, err
	}
	connected := time.Since(begun)
	time.Sleep(b.quiet())
	during, m1, err := rig.svc.state()
	if err != nil {
		c.close()
		return r, err
	}
	// What idle clients take is heartbeats. They come every 12 s.
	watch := time.Duration(3 * b.size.seconds * float64(time.Second))
	time.Sleep(watch)
	later, err := rig.svc.usage()
	if err != nil {
		c.close()
		return r, err
	}
	r.Events, r.Deliveries, r.Seconds = 0, 0, watch.Seconds()
	// All must be there still and hear of an event.
	if err := rig.emit.emit(ctx, 1); err != nil {
		c.close()
		return r, err
	}
	c.await(ctx, int64(clients))
	r.judge(c.pool, rig.emit.number)
	c.close()
	gone := wait(ctx, patience, 20*time.Millisecond, "the clients' connections end", func() (bool, error) {
		u, err := rig.svc.usage()
		return u.Files <= before.Files+8, err
	})
	// A service that has nothing to do does not look for garbage for two minutes:
	// give it something, as a fabric would.
	if err := rig.emit.emit(ctx, b.size.burst/5); err != nil {
		return r, err
	}
	time.Sleep(b.quiet())
	after, m2, err := rig.svc.state()
	if err != nil {
		return r, err
	}
	const goroutines = "go_goroutines"
	r.note("connected in %.1f s; goroutines %.0f before, %.0f with the clients, %.0f after they are gone", connected.Seconds(), m0[goroutines], m1[goroutines], m2[goroutines])
	if !before.Known {
		r.note("CPU time and memory of another process are not available on this system")
		r.reach("at most 8 KB each", false, "not available")
		return r, nil
	}
	// With the heartbeats that have come meanwhile.
	r.KBPerClient = figure(float64(max(during.RSS, later.RSS)-before.RSS) / 1024 / float64(clients))
	r.RSS, r.Peak = figure(float64(during.RSS)/1e6), figure(float64(after.Peak)/1e6)
	r.note("descriptors %d, %d, %d; RSS %.0f, %.0f and, %s events and %.0f s after they have gone, %.0f MB; of it heap and stacks in use %.0f, %.0f, %.0f MB",
		before.Files, during.Files, after.Files, float64(before.RSS)/1e6, float64(during.RSS)/1e6, thousands(b.size.burst/5), b.quiet().Seconds(), float64(after.RSS)/1e6,
		inUse(m0)/1e6, inUse(m1)/1e6, inUse(m2)/1e6)
	r.note("%.2f %% of a core for heartbeats", 100*(later.CPU-during.CPU).Seconds()/watch.Seconds())
	// The newest events, which stay in memory, are 30 MB or so.
	back := gone == nil && m2[goroutines] < m0[goroutines]+20 && inUse(m2) < inUse(m0)+40e6+(inUse(m1)-inUse(m0))/10
	if !back {
		r.note("what the clients had is not given back")
	}
	b.log("idle-clients: %d: %.1f KB each", clients, *r.KBPerClient)
	r.Others = "Mercure 39 KB, Centrifugo 57, ntfy 37, nchan 10"
	r.reach("at most 8 KB each, all given back", back && *r.KBPerClient <= 8, "%.1f KB each", *r.KBPerClient)
	return r, nil
}

// state is usage and metrics of a moment.
func (s *service) state() (usage, map[string]float64, error) {
	m, err := s.metrics()
	if err != nil {
		return usage{}, nil, err
	}
	u, err := s.usage()
	return u, m, err
}

func inUse(m map[string]float64) float64 {
	return m["go_memstats_heap_inuse_bytes"] + m["go_memstats_stack_inuse_bytes"]
}

func (b *bench) idleService(ctx context.Context) (_ []row, err error) {
	sim, err := newSimulator(apicsim.Options{})
	if err != nil {
		return nil, err
	}
	defer sim.close()
	sim.Populate(apicsim.Profile{})
	const classes = "fvTenant,fvBD,fvCtx,fvAp,fvAEPg,fvCEp,vzBrCP,l3extOut,fabricNode,faultInst"
	var ready []float64
	var svc *service
	for range min(b.size.rounds, 3) { // how long a start takes, on an empty directory
		if svc != nil {
			if err := svc.stop(); err != nil {
				return nil, err
			}
		}
		if svc, err = start(ctx, b.program, sim, "ACITAP_SUBSCRIPTIONS="+classes); err != nil {
			return nil, err
		}
		err := wait(ctx, patience, 2*time.Millisecond, "ready", func() (bool, error) {
			resp, err := svc.client.Get(svc.url + "/readyz")
			if err != nil {
				return false, err
			}
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK, nil
		})
		if err != nil {
			return nil, errors.Join(err, svc.stop())
		}
		ready = append(ready, time.Since(svc.began).Seconds())
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	err = wait(ctx, patience, 50*time.Millisecond, "10 active subscriptions", func() (bool, error) {
		var list struct {
			Subscriptions []struct{ State string }
		}
		err := svc.get("/subscriptions", &list)
		active := 0
		for _, s := range list.Subscriptions {
			if s.State == "active" {
				active++
			}
		}
		return active == 10, err
	})
	if err != nil {
		return nil, err
	}
	time.Sleep(b.quiet())
	u0, err := svc.usage()
	if err != nil {
		return nil, err
	}
	watch := time.Duration(3 * b.size.seconds * float64(time.Second))
	time.Sleep(watch)
	u1, err := svc.usage()
	if err != nil {
		return nil, err
	}
	r := row{Scenario: "idle service, 10 subscriptions", Server: "acitap", Rounds: 1, Seconds: watch.Seconds()}
	soon := median(ready)
	const target = "under 40 MB RSS, under 0.5 % CPU, ready within 0.5 s"
	if !u0.Known {
		r.note("CPU time and memory of another process are not available on this system")
		r.reach(target, false, "ready in %.2f s", soon)
		return []row{r}, nil
	}
	r.RSS, r.Peak = figure(float64(u1.RSS)/1e6), figure(float64(u1.Peak)/1e6)
	share := 100 * (u1.CPU - u0.CPU).Seconds() / watch.Seconds()
	r.note("%.0f MB of the RSS are private pages; the rest is the program's own file", float64(u1.Private)/1e6)
	r.reach(target, *r.RSS < 40 && share < 0.5 && soon < 0.5, "%.1f MB, %.2f %% CPU, ready in %.2f s", *r.RSS, share, soon)
	return []row{r}, nil
}

// snapshot lists so many objects and compares them after an outage.
func (b *bench) snapshot(ctx context.Context) ([]row, error) {
	var rows []row
	for _, n := range b.size.objects {
		r, err := b.snapshotOf(ctx, n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

func (b *bench) snapshotOf(ctx context.Context, n int) (rows []row, err error) {
	sim, err := newSimulator(apicsim.Options{})
	if err != nil {
		return nil, err
	}
	defer sim.close()
	const many = "fvCEp"
	sim.Populate(apicsim.Profile{Tenants: 12, Endpoints: n})
	svc, err := start(ctx, b.program, sim)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	type session struct {
		Fabrics []struct {
			State   string
			Resyncs int
		}
	}
	connected := func() (s session, err error) {
		err = svc.get("/session", &s)
		if err == nil && len(s.Fabrics) == 0 {
			err = errors.New("no fabric")
		}
		return s, err
	}
	err = wait(ctx, patience, 5*time.Millisecond, "connected", func() (bool, error) {
		s, err := connected()
		return err == nil && s.Fabrics[0].State == "connected", err
	})
	if err != nil {
		return nil, err
	}
	limit := patience + time.Duration(n)*200*time.Microsecond
	var subscription struct {
		Subscriptions []struct {
			State   string
			Error   string
			Objects int
			Events  int64
		}
	}
	active := func() (bool, error) {
		if err := svc.get("/subscriptions/"+many, &subscription); err != nil {
			return false, err
		}
		s := subscription.Subscriptions[0]
		if s.Error != "" {
			return false, errors.New(s.Error)
		}
		return s.State == "active", nil
	}
	x, err := svc.measure(func() error {
		if _, err := svc.post("/subscriptions/"+many, nil); err != nil {
			return err
		}
		return wait(ctx, limit, 10*time.Millisecond, "snapshot", active)
	})
	if err != nil {
		return nil, err
	}
	const target = "under 5 s, under 600 MB RSS"
	others := "acitoolkit 371 MB at 99,000, fails above 100,000"
	if n > 100_000 {
		others = ""
	}
	taken := func(title string, x spent, events int64) row {
		r := row{Scenario: thousands(n) + " objects: " + title, Server: "acitap", Events: events, Deliveries: events, Others: others}
		if events == 0 {
			r.Events, r.Deliveries = int64(n), int64(n) // objects compared
		}
		r.fill([]spent{x})
		r.Events, r.Deliveries = events, events
		return r
	}
	first := taken("snapshot", x, int64(n))
	if s := subscription.Subscriptions[0]; s.Objects != n || s.Events != int64(n) {
		first.Lost = int64(n) - int64(s.Objects)
		first.note("%d objects and %d events are there instead of %d", s.Objects, s.Events, n)
	}
	// The log's own work on what was written is no part of the comparison, nor is
	// the pause of 5 s that acitap keeps between logins.
	time.Sleep(max(b.quiet(), time.Until(svc.began.Add(6*time.Second))))
	resetPeak(svc.cmd.Process.Pid)
	var newest, newer struct {
		Events []struct{ ID int64 }
	}
	const last = "/events?kind=event&order=desc&limit=1"
	if err := svc.get(last, &newest); err != nil {
		return nil, err
	}
	s, err := connected()
	if err != nil {
		return nil, err
	}
	resyncs := s.Fabrics[0].Resyncs
	x, err = svc.measure(func() error {
		sim.Controller(0).DropSockets(apicsim.Reset)
		return wait(ctx, limit, 10*time.Millisecond, "resync", func() (bool, error) {
			s, err := connected()
			if err != nil || s.Fabrics[0].Resyncs == resyncs || s.Fabrics[0].State != "connected" {
				return false, err
			}
			return active()
		})
	})
	if err != nil {
		return nil, err
	}
	if err := svc.get(last, &newer); err != nil {
		return nil, err
	}
	second := taken("resync that finds nothing", x, 0)
	second.note("from the reset of the socket, with the pause before the next try (up to 1 s) in it; rate and CPU are for an object compared")
	quiet := len(newest.Events) == 1 && len(newer.Events) == 1 && newest.Events[0].ID == newer.Events[0].ID
	if !quiet {
		second.note("the comparison has written events: the newest was %v and is %v", newest.Events, newer.Events)
		second.Repeated++
	}
	for _, r := range []*row{&first, &second} {
		if n > 100_000 {
			r.Target, r.Measured = "none of its own", fmt.Sprintf("%.1f s (%.1f s CPU), peak %.0f MB", r.Seconds, at(r.CPUPerEvent)*float64(n)/1e6, at(r.Peak))
			continue
		}
		r.reach(target, r.Seconds < 5 && at(r.Peak) < 600, "%.1f s (%.1f s CPU), peak %.0f MB", r.Seconds, at(r.CPUPerEvent)*float64(n)/1e6, at(r.Peak))
		b.log("snapshot: %s: %s", r.Scenario, r.Measured)
	}
	return []row{first, second}, nil
}

func median(v []float64) float64 {
	c := append([]float64(nil), v...)
	for i := range c { // a handful
		for j := i; j > 0 && c[j] < c[j-1]; j-- {
			c[j], c[j-1] = c[j-1], c[j]
		}
	}
	return c[len(c)/2]
}
