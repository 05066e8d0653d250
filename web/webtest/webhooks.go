package webtest

import (
	"context"
	"net/netip"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/handlers"
	"github.com/acitap/acitap/webhook"
)

// Webhooks adds webhooks to the server until ctx ends: the service's own, over
// the timeline of the stand-in. They may send to loopback.
func (s *Server) Webhooks(ctx context.Context) error {
	service, err := webhook.New(ctx, webhook.Options{
		Hub: timeline{s}, Store: webhook.Memory(),
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return err
	}
	go func() { _ = service.Run(ctx) }() // returns nil
	api := handlers.New(handlers.Options{Webhooks: service})
	s.mux.Handle("/webhooks", api)
	s.mux.Handle("/webhooks/", api)
	return nil
}

// A timeline is the server as webhooks read it.
type timeline struct{ s *Server }

func (l timeline) Bounds() apic.Bounds {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.Bounds()
}

func (l timeline) IDAt(ctx context.Context, t time.Time) (apic.ID, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.IDAt(ctx, t)
}

func (l timeline) After(_ context.Context, after apic.ID, n *apic.Narrow, limit int) ([]*apic.Entry, apic.ID, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	b := l.s.Bounds()
	if err := b.Check(after); err != nil {
		return nil, after, err
	}
	var list []*apic.Entry
	for _, e := range l.s.entries[after-l.s.floor:] {
		if n.Admits(e) {
			if list = append(list, e); len(list) == limit {
				return list, e.ID, nil
			}
		}
	}
	return list, b.Newest, nil
}

func (l timeline) Grown(after apic.ID) <-chan struct{} {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.Bounds().Newest > after {
		c := make(chan struct{})
		close(c)
		return c
	}
	return l.s.grown
}

func (l timeline) Entry(_ context.Context, id apic.ID) (*apic.Entry, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	b := l.s.Bounds()
	if id > b.Newest {
		return nil, apic.ErrNotFound
	}
	if err := b.Check(id - 1); err != nil {
		return nil, err
	}
	return l.s.entries[id-l.s.floor-1], nil
}
