package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// selective asks what an event costs that nobody wants, against the number of
// clients that have the same selector. One more client wants everything, so
// that the load program knows when an event has come; what it costs is taken
// off.
func (b *bench) selective(ctx context.Context) ([]row, error) {
	var rows []row
	base := 0.0
	for i, clients := range append([]int{0}, b.size.selective...) {
		x, events, v, err := b.unwanted(ctx, clients, same)
		if err != nil {
			return nil, err
		}
		per := micros(x.cpu) / float64(events)
		if i == 0 {
			base = per
			continue
		}
		r := row{Scenario: fmt.Sprintf("an event that nobody wants, %s clients with one selector", thousands(clients)), Server: "acitap", Clients: clients,
			Events: int64(events), Deliveries: int64(events), verdict: v, Others: "Centrifugo evaluates for each subscriber"}
		r.fill([]spent{x})
		r.Deliveries, r.DeliveriesPerS, r.CPUPerDelivery = 0, nil, nil
		if x.after.Known {
			r.CPUPerEvent = figure(max(0, per-base))
		}
		r.note("CPU is what the selective clients add to the %.1f µs that an event costs without them, events coming as fast as they are taken", base)
		rows = append(rows, r)
		b.log("selective: %d clients: %.1f µs an event more", clients, per-base)
	}
	// To look at an event takes 100 ns and more for each who does, 100 µs for a
	// thousand. A few µs are the machine's moods.
	one := at(rows[0].CPUPerEvent)
	for i := range rows {
		r := &rows[i]
		r.reach("does not grow with the clients (by at most 5 µs)", at(r.CPUPerEvent)-one <= 5, "%.1f µs an event more", at(r.CPUPerEvent))
	}
	return rows, nil
}

// same gives all clients one filter, own each another.
func same(int) string  { return `object.descr == "nobody has this"` }
func own(i int) string { return fmt.Sprintf(`object.descr == "nobody has this %d"`, i) }

// unwanted makes events that selective clients do not want.
func (b *bench) unwanted(ctx context.Context, clients int, filter func(int) string) (x spent, events int, v verdict, err error) {
	rig, err := b.rig(ctx)
	if err != nil {
		return x, 0, v, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	p, err := newPool(1)
	if err != nil {
		return x, 0, v, err
	}
	defer p.close()
	base := "/events/" + class + "/stream?filter="
	if clients > 0 {
		err = connect(ctx, p, clients, rig.svc.port, func(i int) []byte {
			return rig.svc.request(base+url.QueryEscape(filter(i)), "text/event-stream")
		}, formSSE, rig.emit.number, func(int) bool { return false })
		if err != nil {
			return x, 0, v, err
		}
	}
	all, err := rig.crowd(ctx, 1, 1, "/events/"+class+"/stream", "text/event-stream", formSSE)
	if err != nil {
		return x, 0, v, err
	}
	defer all.close()
	// Rounds of about half a second of the service's CPU: what is looked for is
	// small beside what an event costs anyway.
	var rounds []spent
	events = b.size.unwanted / 4
	for i := range min(b.size.rounds, 3) + 1 {
		x, err := rig.svc.measure(func() error { return saturate(ctx, all.pool, events, 1, rig.emit.emit) })
		if err != nil {
			return x, 0, v, err
		}
		if i > 0 {
			rounds = append(rounds, x)
			continue
		}
		events = b.size.unwanted
		if per := x.cpu / time.Duration(b.size.unwanted/4); per > 0 {
			events = max(100, min(events, int(500*time.Millisecond/per)))
		}
	}
	slices.SortFunc(rounds, func(a, b spent) int { return int(a.cpu - b.cpu) })
	x = rounds[len(rounds)/2]
	time.Sleep(10 * time.Millisecond)
	v, _ = all.verdict(rig.emit.number)
	p.each(func(r *reader) { v.Repeated += r.got }) // nobody wanted it
	return x, events, v, nil
}
