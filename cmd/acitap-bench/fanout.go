package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pace emits n events a second, one at a time, for so long, and returns how
// many.
func pace(ctx context.Context, perSecond int, seconds float64, emit func(context.Context, int) error) (int, error) {
	n := max(1, int(float64(perSecond)*seconds))
	begun := time.Now()
	for i := range n {
		due := begun.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		if d := time.Until(due); d > 0 {
			select {
			case <-time.After(d):
			case <-ctx.Done():
				return i, ctx.Err()
			}
		}
		if err := emit(ctx, 1); err != nil {
			return i, err
		}
	}
	return n, nil
}

// saturate emits n events so that there are always some that not all clients
// have, and never more than a window of them (1,000, fewer for more than 1,000
// clients): what is measured is a server
// that is as busy as can be, not one that works off a heap.
func saturate(ctx context.Context, p *pool, n, clients int, emit func(context.Context, int) error) error {
	const most = 1000
	// What is under way stands in buffers of the kernel: a thousand events for
	// twenty thousand clients would be 10 GB.
	window := min(most, max(20, most*most/clients))
	part := max(1, window/20)
	before := p.events.Load()
	for sent := 0; sent < n; {
		if stalled := p.awaitMoving(ctx, before+int64(clients)*int64(sent-window)); stalled {
			return fmt.Errorf("the clients have got %d of %d deliveries and no more come", p.events.Load()-before, sent*clients)
		}
		k := min(part, n-sent)
		if err := emit(ctx, k); err != nil {
			return err
		}
		sent += k
	}
	p.await(ctx, before+int64(clients)*int64(n))
	return ctx.Err()
}

// awaitMoving waits as await does and reports whether events have stopped to
// come before there were so many.
func (p *pool) awaitMoving(ctx context.Context, events int64) (stalled bool) {
	p.await(ctx, events)
	return ctx.Err() == nil && p.events.Load() < events
}

// crowd is a number of clients of the class's stream on a rig.
type crowd struct {
	*pool
	clients int
	first   int64 // number of the first event they should get
}

func (r *rig) crowd(ctx context.Context, clients, pollers int, path, accept string, f form) (*crowd, error) {
	p, err := newPool(pollers)
	if err != nil {
		return nil, err
	}
	request := r.svc.request(path, accept)
	c := &crowd{p, clients, r.emit.number}
	err = connect(ctx, p, clients, r.svc.port, func(int) []byte { return request }, f, r.emit.number, func(int) bool { return true })
	if err != nil {
		p.close()
		return nil, err
	}
	return c, nil
}

const given = "Mercure 9.6, Centrifugo 6.1, ntfy 11.2, nchan 2.9, NATS core 1.6"

func (b *bench) fanOut(ctx context.Context) ([]row, error) {
	rig, err := b.rig(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := b.fanOutOn(ctx, rig, b.size.fanout)
	if err := errors.Join(err, rig.close()); err != nil {
		return nil, err
	}
	bare, err := b.floor(ctx, b.size.fanout)
	return append(rows, bare...), err
}

func (b *bench) fanOutOn(ctx context.Context, rig *rig, clients int) ([]row, error) {
	c, err := rig.crowd(ctx, clients, 2, "/events/"+class+"/stream", "text/event-stream", formSSE)
	if err != nil {
		return nil, err
	}
	defer c.close()
	rows, err := b.spread(ctx, "acitap", c.pool, clients, rig.emit.emit, rig.svc.measure)
	if err != nil {
		return nil, err
	}
	// What was lost at any rate shows in all three.
	last := &rows[len(rows)-1]
	last.judge(c.pool, rig.emit.number)
	for i := range rows {
		rows[i].verdict = last.verdict
	}
	saturated, slow, fast := &rows[0], &rows[1], &rows[2]
	saturated.Others = given + " µs"
	saturated.reach("at most 1.6 µs CPU a delivery", at(saturated.CPUPerDelivery) <= 1.6, "%.2f µs a delivery, %s deliveries/s",
		at(saturated.CPUPerDelivery), thousands(int(at(saturated.DeliveriesPerS))))
	for _, r := range []*row{slow, fast} {
		r.Others = "p99: Mercure 22 ms, Centrifugo 23, nchan 32"
		r.reach("p99 under 10 ms, at most 4.5 µs CPU a delivery", at(r.P99) < 10 && at(r.CPUPerDelivery) <= 4.5,
			"p99 %.1f ms, %.2f µs a delivery", at(r.P99), at(r.CPUPerDelivery))
	}
	return rows, nil
}

// ndjson is the fan-out in the other form, at one pace.
func (b *bench) ndjson(ctx context.Context) (_ []row, err error) {
	rig, err := b.rig(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	const rate = 200
	clients := b.size.fanout
	c, err := rig.crowd(ctx, clients, 2, "/events/"+class+"/stream", "application/x-ndjson", formNDJSON)
	if err != nil {
		return nil, err
	}
	defer c.close()
	sent := 0
	x, err := rig.svc.measure(func() (err error) {
		sent, err = pace(ctx, rate, b.size.seconds, rig.emit.emit)
		c.await(ctx, int64(sent*clients))
		return err
	})
	if err != nil {
		return nil, err
	}
	r := row{Scenario: fmt.Sprintf("NDJSON to %s clients, %d events/s", thousands(clients), rate), Server: "acitap", Clients: clients,
		Events: int64(sent), Deliveries: int64(sent * clients), Target: "none of its own"}
	r.fill([]spent{x})
	r.latencies(c.takeTimes())
	r.judge(c.pool, rig.emit.number)
	r.Measured = fmt.Sprintf("p99 %.1f ms, %.2f µs a delivery", at(r.P99), at(r.CPUPerDelivery))
	b.log("ndjson: %s", r.Measured)
	return []row{r}, nil
}

// spread runs the fan-out at saturation, at 20 and at 200 events/s against any
// server.
func (b *bench) spread(ctx context.Context, server string, p *pool, clients int, emit func(context.Context, int) error, measure func(func() error) (spent, error)) ([]row, error) {
	n := b.size.fanned
	warm := max(1, n/10)
	begun := time.Now()
	if err := saturate(ctx, p, warm, clients, emit); err != nil {
		return nil, err
	}
	// A round is to take seconds, not minutes, with a slow server too.
	n = max(1, min(n, int(float64(warm)*2*b.size.seconds/time.Since(begun).Seconds())))
	p.takeTimes()
	saturated := row{Scenario: fmt.Sprintf("fan-out to %s clients, saturated", thousands(clients)), Server: server, Clients: clients,
		Events: int64(n), Deliveries: int64(n * clients)}
	var rounds []spent
	for range min(b.size.rounds, 3) {
		x, err := measure(func() error { return saturate(ctx, p, n, clients, emit) })
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, x)
		b.log("fan-out: %s: %.0f deliveries/s, %.2f µs a delivery", server, float64(n*clients)/x.wall.Seconds(), micros(x.cpu)/float64(n*clients))
	}
	saturated.fill(rounds)
	saturated.latencies(p.takeTimes())
	rows := []row{saturated}
	for _, rate := range []int{20, 200} {
		before := p.events.Load()
		sent := 0
		x, err := measure(func() (err error) {
			sent, err = pace(ctx, rate, b.size.seconds, emit)
			p.await(ctx, before+int64(sent*clients))
			return err
		})
		if err != nil {
			return nil, err
		}
		r := row{Scenario: fmt.Sprintf("fan-out to %s clients, %d events/s", thousands(clients), rate), Server: server, Clients: clients,
			Events: int64(sent), Deliveries: int64(sent * clients)}
		r.fill([]spent{x})
		r.latencies(p.takeTimes())
		b.log("fan-out: %s at %d events/s: p99 %.1f ms, %.2f µs a delivery", server, rate, at(r.P99), at(r.CPUPerDelivery))
		rows = append(rows, r)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return rows, nil
}
