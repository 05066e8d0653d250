package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A range is how far each chart goes.
type ranges struct {
	clients    []int
	deliveries int // about so many at each number of clients
	objects    []int
	burst      int   // events of each measurement of ingest
	logs       []int // events in the log
	filters    []int
	unwanted   int // events at the most
}

// noise is what selective clients seem to add to an event at the least, in µs:
// a difference of two measurements cannot tell less.
const noise = 5

var wide = ranges{
	clients: []int{1, 10, 100, 1000, 5000, 10_000, 20_000}, deliveries: 2_000_000,
	objects: []int{100, 1000, 10_000, 100_000}, burst: 50_000,
	logs:    []int{100_000, 200_000, 500_000, 1_000_000, 2_000_000},
	filters: []int{1, 10, 100, 1000, 3000}, unwanted: 20_000,
}

// growth measures how what an event costs grows, and draws it into a file.
func (b *bench) growth(ctx context.Context, r ranges, dir string, about *report) error {
	var notes []string
	clients, note, err := b.growClients(ctx, r)
	if err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	notes = append(notes, note...)
	objects, err := b.growObjects(ctx, r)
	if err != nil {
		return fmt.Errorf("objects: %w", err)
	}
	logs, err := b.growLog(ctx, r)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	filters, err := b.growFilters(ctx, r)
	if err != nil {
		return fmt.Errorf("filters: %w", err)
	}
	text := drawGrowth(clients, objects, logs, filters, notes, about)
	return os.WriteFile(filepath.Join(dir, "growth.svg"), []byte(text), 0o644)
}

func drawGrowth(clients, objects, logs, filters []series, notes []string, about *report) string {
	footer := append(notes, fmt.Sprintf("CPU time of the service alone. %s, %d cores, %s, %s; revision %s.", about.CPU, about.Cores, about.Go, about.Time.Format("2006-01-02"), about.Revision))
	return drawing("How what an event costs grows", []panel{
		{title: "A delivery, ingest in it, against SSE clients", x: "clients", y: "CPU µs a delivery", logY: true, series: clients},
		{title: "Ingest, against objects", x: "objects of the class", y: "CPU µs an event", series: objects},
		{title: "Ingest, against the size of the log", x: "events in the log", y: "CPU µs an event", series: logs},
		{title: "An event that nobody wants, against selective clients", x: "clients", y: "CPU µs an event, added", logY: true, noise: noise, series: filters},
	}, footer)
}

func (b *bench) growClients(ctx context.Context, r ranges) (_ []series, notes []string, err error) {
	fast, slow := series{name: "saturated"}, series{name: "paced, at most 20,000 deliveries/s"}
	most := raiseFiles() - 100
	for _, n := range r.clients {
		if n > most {
			notes = append(notes, fmt.Sprintf("%s clients instead of %s: a process may have %s descriptors on this machine.", thousands(most), thousands(n), thousands(most+100)))
			n = most
		}
		f, s, err := b.atClients(ctx, n, r.deliveries)
		if err != nil {
			return nil, nil, err
		}
		b.log("growth: %d clients: %.2f µs a delivery saturated, %.2f paced", n, f, s)
		fast.points = append(fast.points, point{float64(n), f})
		slow.points = append(slow.points, point{float64(n), s})
	}
	return []series{fast, slow}, notes, nil
}

func (b *bench) atClients(ctx context.Context, n, deliveries int) (fast, slow float64, err error) {
	rig, err := b.rig(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	c, err := rig.crowd(ctx, n, 2, "/events/"+class+"/stream", "text/event-stream", formSSE)
	if err != nil {
		return 0, 0, err
	}
	defer c.close()
	events := min(max(deliveries/n, 50), 50_000)
	if err := saturate(ctx, c.pool, events/4, n, rig.emit.emit); err != nil {
		return 0, 0, err
	}
	x, err := rig.svc.measure(func() error { return saturate(ctx, c.pool, events, n, rig.emit.emit) })
	if err != nil {
		return 0, 0, err
	}
	rate := min(max(20_000/n, 1), 200)
	before, sent := c.events.Load(), 0
	y, err := rig.svc.measure(func() (err error) {
		sent, err = pace(ctx, rate, b.size.seconds, rig.emit.emit)
		c.await(ctx, before+int64(sent*n))
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	if v, _ := c.verdict(rig.emit.number); v != (verdict{}) {
		return 0, 0, fmt.Errorf("%d clients: %+v", n, v)
	}
	return micros(x.cpu) / float64(events*n), micros(y.cpu) / float64(sent*n), nil
}

// bursts measures a burst, after another that warms up.
func (b *bench) bursts(ctx context.Context, rig *rig, n int) (float64, error) {
	c, err := rig.crowd(ctx, 1, 1, "/events/"+class+"/stream", "text/event-stream", formSSE)
	if err != nil {
		return 0, err
	}
	defer c.close()
	var cpu time.Duration
	for i := range 2 {
		x, err := rig.svc.measure(func() error {
			failed := make(chan error, 1)
			go func() { failed <- rig.emit.emit(ctx, n) }()
			c.await(ctx, int64(n*(i+1)))
			return <-failed
		})
		if err != nil {
			return 0, err
		}
		cpu = x.cpu
	}
	if v, _ := c.verdict(rig.emit.number); v != (verdict{}) {
		return 0, fmt.Errorf("%+v", v)
	}
	return micros(cpu) / float64(n), nil
}

func (b *bench) growObjects(ctx context.Context, r ranges) ([]series, error) {
	s := series{name: fmt.Sprintf("a burst of %s, the objects in turn", thousands(r.burst))}
	for _, n := range r.objects {
		rig, err := b.rigOf(ctx, n)
		if err != nil {
			return nil, err
		}
		per, err := b.bursts(ctx, rig, r.burst)
		if err := errors.Join(err, rig.close()); err != nil {
			return nil, err
		}
		b.log("growth: %d objects: %.1f µs an event", n, per)
		s.points = append(s.points, point{float64(n), per})
	}
	return []series{s}, nil
}

func (b *bench) growLog(ctx context.Context, r ranges) (_ []series, err error) {
	rig, err := b.rigOf(ctx, objects)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	s := series{name: fmt.Sprintf("the last %s events of so many", thousands(2*r.burst))}
	for _, n := range r.logs {
		rest := n - int(rig.emit.number) - 2*r.burst
		if rest > 0 {
			if err := rig.emit.emit(ctx, rest); err != nil {
				return nil, err
			}
			// Handed over is not yet logged.
			err := wait(ctx, 2*time.Minute, 50*time.Millisecond, "the log is filled", func() (bool, error) {
				m, err := rig.svc.metrics()
				return m["acitap_log_entries_total"] >= float64(rig.emit.number-1), err
			})
			if err != nil {
				return nil, err
			}
		}
		per, err := b.bursts(ctx, rig, r.burst)
		if err != nil {
			return nil, err
		}
		b.log("growth: %d events in the log: %.1f µs an event", n, per)
		s.points = append(s.points, point{float64(n), per})
	}
	return []series{s}, nil
}

func (b *bench) growFilters(ctx context.Context, r ranges) ([]series, error) {
	all := []series{{name: "each another filter"}, {name: "all the same filter"}}
	measure := func(clients int, filter func(int) string) (float64, error) {
		c := *b
		c.size.unwanted = r.unwanted
		x, events, v, err := c.unwanted(ctx, clients, filter)
		if err == nil && v != (verdict{}) {
			err = fmt.Errorf("%d clients: %+v", clients, v)
		}
		return micros(x.cpu) / float64(max(events, 1)), err
	}
	base, err := measure(0, same)
	if err != nil {
		return nil, err
	}
	for _, n := range r.filters {
		for i, filter := range []func(int) string{own, same} {
			per, err := measure(n, filter)
			if err != nil {
				return nil, err
			}
			b.log("growth: %d clients, %s: %.1f µs an event more", n, all[i].name, per-base)
			all[i].points = append(all[i].points, point{float64(n), max(per-base, noise)})
		}
	}
	return all, nil
}
