package fanout

import (
	"bytes"
	"context"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

// An endless timeline has always more.
type endless struct{}

func (endless) Recent(after apic.ID, _ *apic.Narrow, limit int) (list []*apic.Entry, at apic.ID, ok bool) {
	for id := after + 1; len(list) < limit; id++ {
		list = append(list, &apic.Entry{ID: id, Event: &apic.Event{Class: "fvBD"}, JSON: []byte("{}")})
	}
	return list, after + apic.ID(limit), true
}

func (endless) After(context.Context, apic.ID, *apic.Narrow, int) ([]*apic.Entry, apic.ID, error) {
	panic("nobody is to read the log")
}

func (endless) Grown(apic.ID) <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// A sink takes everything.
type sink struct{ events, beats atomic.Int64 }

func (s *sink) tryWrite(b []byte) (int, error) {
	s.events.Add(int64(bytes.Count(b, []byte("data: {}"))))
	s.beats.Add(int64(bytes.Count(b, []byte(": alive"))))
	return len(b), nil
}

func (s *sink) write(b []byte) error { _, err := s.tryWrite(b); return err }
func (s *sink) abort()               {}
func (s *sink) reset()               {}
func (s *sink) Close() error         { return nil }

// However much there is to send, heartbeats come.
func TestHeartbeatUnderLoad(t *testing.T) {
	f := New(Options{
		Timeline: endless{}, Shards: 1, Delivered: prometheus.NewCounter(prometheus.CounterOpts{Name: "x"}),
		Status: func() ([]byte, uint64, <-chan struct{}) { return nil, 0, nil },
		Spread: func(context.Context) time.Duration { return 0 },
	})
	sh := f.shards[0]
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var sinks []*sink
	for _, class := range []string{"fvBD", "fvCtx"} { // there is nothing for the second
		sel, err := selector.Parse(url.Values{"class": {class}})
		if err != nil {
			t.Fatal(err)
		}
		s := &sink{}
		m := &member{stream: f.open(&Reader{Selector: sel, Form: SSE}), conn: s, shard: sh, left: func(int64) {}}
		m.wrote = time.Now().Add(-heartbeat)
		m.state, m.group = live, &group{feed: m.feed, index: len(sh.groups), members: []*member{m}}
		sh.groups, sh.of[m.feed] = append(sh.groups, m.group), m.group
		sinks = append(sinks, s)
	}
	sh.sweepAt = time.Now()
	go func() { defer close(ended); sh.run(ctx) }()
	for began := time.Now(); sinks[1].beats.Load() == 0 || sinks[0].events.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("got %d heartbeats beside %d events", sinks[1].beats.Load(), sinks[0].events.Load())
		}
	}
	cancel()
	<-ended
	if len(f.feeds) != 0 || len(sh.groups) != 0 || len(sh.of) != 0 || len(sh.apart) != 0 {
		t.Errorf("%d feeds and %d groups are left of no stream", len(f.feeds), len(sh.groups))
	}
}
