package webhook

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/acitap/acitap/apic"
)

// A Store keeps what must outlive the process: definitions with their secrets,
// places, and the log of deliveries. What it holds must be readable by its
// owner only. Commit and Delete are called by one goroutine at a time; the
// others at any time. No context that is given to it ends because a caller of
// HTTP hung up, save those of Deliveries.
type Store interface {
	// Load returns every endpoint, in any order.
	Load(ctx context.Context) ([]Record, error)
	// Commit makes the changes durable together: all, or with an error none.
	Commit(ctx context.Context, changes []Change) error
	// Delete removes an endpoint with all that belongs to it. It is no error
	// when there is none.
	Delete(ctx context.Context, id string) error
	// Deliveries returns attempts of an endpoint, newest first, with a Seq below
	// before (0 for all), at most limit.
	Deliveries(ctx context.Context, id string, before int64, limit int) ([]Delivery, error)
	// Prune removes the attempts of all endpoints that were begun before t.
	Prune(ctx context.Context, t time.Time) error
}

// A Record is an endpoint as it is stored.
type Record struct {
	ID         string
	Definition []byte // JSON, with the secrets
	At         apic.ID
	State      []byte // JSON
}

// A Change is what is new about one endpoint.
type Change struct {
	Record // a Definition of nil: as it was. With one, an endpoint that is not there is made; without, the change is left out

	Deliveries []Delivery // attempts to add to the log
	Forget     int64      // and those with a Seq up to this one are removed
}

// A Delivery is one attempt.
type Delivery struct {
	Seq      int64 // counts the attempts of an endpoint, from 1
	Kind     Kind
	Events   []apic.ID // what was sent; empty for a sample, and for a gap that is not on the timeline
	Message  string    // webhook-id
	Time     time.Time // when it began
	Attempt  int       // of this message, from 1
	Status   int       // of the answer, 0 when there was none
	Duration time.Duration
	Error    string // why it failed, "" for success
	Answer   []byte // the first KiB of the answer's body
}

// OK reports whether the receiver took what was sent.
func (d *Delivery) OK() bool { return d.Status >= 200 && d.Status < 300 && d.Error == "" }

// Kind says why something was sent.
type Kind string

// The kinds of deliveries.
const (
	Regular  Kind = "delivery"
	Again    Kind = "redelivery"
	Testing  Kind = "test"
	Rendered Kind = "dryRun" // not sent, not logged
)

// A MemoryStore is a [Store] that forgets with the process.
type MemoryStore struct {
	mu      sync.Mutex
	records map[string]Record
	log     map[string][]Delivery
}

// Memory returns an empty store in memory.
func Memory() *MemoryStore {
	return &MemoryStore{records: make(map[string]Record), log: make(map[string][]Delivery)}
}

// Load implements [Store].
func (m *MemoryStore) Load(context.Context) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.records), func(a, b Record) int { return strings.Compare(a.ID, b.ID) }), nil
}

// Commit implements [Store].
func (m *MemoryStore) Commit(ctx context.Context, changes []Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		old, ok := m.records[c.ID]
		if c.Definition == nil {
			if !ok {
				continue
			}
			c.Definition = old.Definition
		}
		m.records[c.ID] = c.Record
		list := append(m.log[c.ID], c.Deliveries...)
		m.log[c.ID] = slices.DeleteFunc(list, func(d Delivery) bool { return d.Seq <= c.Forget })
	}
	return nil
}

// Delete implements [Store].
func (m *MemoryStore) Delete(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, id)
	delete(m.log, id)
	return nil
}

// Deliveries implements [Store].
func (m *MemoryStore) Deliveries(_ context.Context, id string, before int64, limit int) ([]Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Delivery
	for _, d := range slices.Backward(m.log[id]) {
		if len(list) == limit {
			break
		}
		if before == 0 || d.Seq < before {
			list = append(list, d)
		}
	}
	return list, nil
}

// Prune implements [Store].
func (m *MemoryStore) Prune(_ context.Context, t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, list := range m.log {
		m.log[id] = slices.DeleteFunc(list, func(d Delivery) bool { return d.Time.Before(t) })
	}
	return nil
}
