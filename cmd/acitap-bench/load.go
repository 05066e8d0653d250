package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/acitap/acitap/apicsim"
)

// The class and the objects that change, other than where a scenario says so.
const (
	class   = "fvBD"
	objects = 500
)

// plant creates the objects that change.
func plant(f *apicsim.Fabric, n int) error {
	return f.Batch(func(tx *apicsim.Tx) error {
		for i := range n {
			if err := tx.Create(class, fmt.Sprintf("uni/tn-common/BD-b%d", i), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// An emitter makes events: sparse modified frames, each of which changes one
// attribute of one object, the objects in turn, so that none is a duplicate.
type emitter struct {
	sim    *simulator
	number int64 // of the next event
	id     string
	frames [][]byte // templates, one for each object
	stamps []int    // where their stamp is
}

func newEmitter(sim *simulator, n int) (*emitter, error) {
	id, err := sim.Controller(0).SubscriptionID(class)
	if err != nil {
		return nil, err
	}
	e := &emitter{sim: sim, id: id, number: 1}
	for i := range n {
		f := fmt.Appendf(nil, `{"subscriptionId":["%s"],"imdata":[{"%s":{"attributes":{"childAction":"","descr":"~0000000000000000.000000000","dn":"uni/tn-common/BD-b%d","modTs":"2026-01-01T00:00:00.000+00:00","rn":"","status":"modified"}}}]}`, id, class, i)
		e.frames = append(e.frames, f)
		e.stamps = append(e.stamps, bytes.IndexByte(f, '~'))
	}
	return e, nil
}

// emit hands n events to the socket, as fast as the service reads them, and
// returns when the last has been handed over. Each is stamped in the moment its
// part (one of each object) is.
func (e *emitter) emit(ctx context.Context, n int) error {
	for n > 0 {
		part := min(n, len(e.frames))
		begin := int(e.number) % len(e.frames)
		part = min(part, len(e.frames)-begin)
		now := time.Now().UnixMicro()
		for i := begin; i < begin+part; i++ {
			putStamp(e.frames[i][e.stamps[i]:], now, e.number)
			e.number++
		}
		if _, err := e.sim.Controller(0).Blast(ctx, e.id, part, e.frames[begin:begin+part]...); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// silence is how long nothing comes before it is held to be lost.
const silence = 20 * time.Second

// await waits until the readers of a pool have together got so many events, or
// none for too long.
func (p *pool) await(ctx context.Context, events int64) {
	last, since := int64(-1), time.Now()
	for {
		got := p.events.Load()
		if got >= events || ctx.Err() != nil {
			return
		}
		if got != last {
			last, since = got, time.Now()
		} else if time.Since(since) > silence {
			return
		}
		time.Sleep(500 * time.Microsecond)
	}
}

// verdict judges all readers, of whom each should have got all numbers below
// end.
func (p *pool) verdict(end int64) (v verdict, gaps int64) {
	p.each(func(r *reader) {
		v.add(r.until(end))
		gaps += r.gaps
	})
	return v, gaps
}
