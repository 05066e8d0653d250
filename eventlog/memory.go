package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/acitap/acitap/apic"
)

// defaultEntries is what a MemoryLog holds: about 100 MB of ordinary events.
const defaultEntries = 100_000

// A MemoryLog is an [apic.Journal] that keeps everything in memory and
// forgets it with the process. It holds a bounded number of entries; its
// objects grow with the fabric. It starts no goroutine and nothing in it
// waits, so it can be used in a testing/synctest bubble.
type MemoryLog struct {
	limit     int
	retention time.Duration
	now       func() time.Time
	failure   func() error

	mu            sync.RWMutex // guards all fields below
	bounds        apic.Bounds
	entries       []*apic.Entry // ids grow; the array is only appended to, so that readers may keep a part of it
	objects       map[apic.ObjectKey]apic.Object
	subscriptions map[string]apic.Subscription
	positions     map[apic.PositionKey]apic.Position
}

var _ apic.Journal = (*MemoryLog)(nil)

// Memory returns an empty log in memory. Of the options it heeds Entries,
// Retention and Now.
func Memory(o Options) *MemoryLog {
	m := &MemoryLog{
		limit:         o.Entries,
		retention:     o.Retention,
		now:           o.Now,
		objects:       make(map[apic.ObjectKey]apic.Object),
		subscriptions: make(map[string]apic.Subscription),
		positions:     make(map[apic.PositionKey]apic.Position),
	}
	if m.limit <= 0 {
		m.limit = defaultEntries
	}
	if m.now == nil {
		m.now = time.Now
	}
	origin := apic.FirstID(m.now())
	m.bounds = apic.Bounds{Origin: origin, Floor: origin, Newest: origin}
	return m
}

// Fail makes Append and SavePosition return what failure returns, as a disk
// that is full would make them, until it returns nil. A nil failure ends it.
func (m *MemoryLog) Fail(failure func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = failure
}

func (m *MemoryLog) failLocked(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.failure != nil {
		return m.failure()
	}
	return nil
}

// Append implements [apic.Journal].
func (m *MemoryLog) Append(ctx context.Context, b *apic.Batch) ([]*apic.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failLocked(ctx); err != nil {
		return nil, fmt.Errorf("append %d entries: %w", len(b.Entries), err)
	}
	sealed, err := seal(b.Entries, m.bounds.Newest+1)
	if err != nil {
		return nil, err
	}
	for _, e := range sealed {
		if v := e.Event; v != nil {
			m.foldLocked(e.ID, v)
		}
	}
	for _, o := range b.Put {
		m.objects[apic.ObjectKey{Fabric: o.Fabric, DN: o.DN}] = o
	}
	for _, k := range b.Drop {
		delete(m.objects, k)
	}
	for _, s := range b.Subscriptions {
		m.subscriptions[s.ID] = durable(s)
	}
	for _, id := range b.Unsubscribe {
		delete(m.subscriptions, id)
	}
	for _, p := range b.Positions {
		m.positions[p.PositionKey] = p
	}
	for _, k := range b.Forget {
		delete(m.positions, k)
	}
	m.entries = append(m.entries, sealed...)
	if n := len(sealed); n > 0 {
		m.bounds.Newest = sealed[n-1].ID
	}
	m.retainLocked()
	return sealed, nil
}

func (m *MemoryLog) foldLocked(id apic.ID, v *apic.Event) {
	k := apic.ObjectKey{Fabric: v.Fabric, DN: v.DN}
	if v.Status == apic.Deleted {
		delete(m.objects, k)
		return
	}
	o, known := m.objects[k]
	switch {
	case !v.Object.IsZero():
		o = apic.Object{Fabric: v.Fabric, Class: v.Class, DN: v.DN, Attrs: v.Object}
	case !known:
		return
	}
	o.Last = id
	m.objects[k] = o
}

func (m *MemoryLog) retainLocked() {
	drop := max(0, len(m.entries)-m.limit)
	if m.retention > 0 {
		oldest := m.now().Add(-m.retention)
		for drop < len(m.entries) && m.entries[drop].Time().Before(oldest) {
			drop++
		}
	}
	m.dropLocked(drop)
}

func (m *MemoryLog) dropLocked(n int) {
	if n == 0 {
		return
	}
	m.bounds.Floor = m.entries[n-1].ID
	m.entries = m.entries[n:]
	if cap(m.entries) < len(m.entries)+len(m.entries)/4 { // the next append moves it anyway
		m.entries = slices.Clone(m.entries)
	}
}

// Forget removes the entries up to id, as retention does.
func (m *MemoryLog) Forget(id apic.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropLocked(upTo(m.entries, id))
}

// upTo returns how many entries have an id up to the given one.
func upTo(entries []*apic.Entry, id apic.ID) int {
	return sort.Search(len(entries), func(i int) bool { return entries[i].ID > id })
}

// Read implements [apic.Journal].
func (m *MemoryLog) Read(ctx context.Context, r apic.Range) iter.Seq2[*apic.Entry, error] {
	return func(yield func(*apic.Entry, error) bool) {
		part, err := m.part(r.After, r.Until)
		if err != nil {
			yield(nil, err)
			return
		}
		given := 0
		for i := range part {
			e := part[i]
			if r.Desc {
				e = part[len(part)-1-i]
			}
			if !r.Admits(e) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(e, nil) {
				return
			}
			if given++; given == r.Limit {
				return
			}
		}
	}
}

func (m *MemoryLog) part(after, until apic.ID) ([]*apic.Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.bounds.Check(after); err != nil {
		return nil, err
	}
	if until <= 0 {
		until = m.bounds.Newest
	}
	from, to := upTo(m.entries, after), upTo(m.entries, until)
	return m.entries[from:max(from, to):max(from, to)], nil
}

// FirstAfter implements [apic.Journal].
func (m *MemoryLog) FirstAfter(ctx context.Context, after apic.ID, n apic.Narrow) iter.Seq2[*apic.Entry, error] {
	n.Kinds = apic.EventsOnly
	return func(yield func(*apic.Entry, error) bool) {
		seen := make(map[apic.ObjectKey]bool)
		for e, err := range m.Read(ctx, apic.Range{After: after, Narrow: n}) {
			if err != nil {
				yield(nil, err)
				return
			}
			k := apic.ObjectKey{Fabric: e.Event.Fabric, DN: e.Event.DN}
			if seen[k] {
				continue
			}
			seen[k] = true
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Count implements [apic.Journal].
func (m *MemoryLog) Count(_ context.Context, c apic.Class, after, until apic.ID) (int64, error) {
	part, err := m.part(after, until)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range part {
		if e.Event != nil && e.Event.Class == c {
			n++
		}
	}
	return n, nil
}

// Bounds implements [apic.Journal].
func (m *MemoryLog) Bounds() apic.Bounds {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.bounds
}

// IDAt implements [apic.Journal].
func (m *MemoryLog) IDAt(_ context.Context, t time.Time) (apic.ID, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := sort.Search(len(m.entries), func(i int) bool { return !m.entries[i].Time().Before(t) })
	if n == 0 {
		return m.bounds.Floor, nil
	}
	return m.entries[n-1].ID, nil
}

// Load implements [apic.Journal].
func (m *MemoryLog) Load(context.Context) (*apic.Saved, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := &apic.Saved{}
	objects := make([]apic.Object, 0, len(m.objects))
	for _, o := range m.objects {
		objects = append(objects, o)
	}
	slices.SortFunc(objects, func(a, b apic.Object) int {
		return strings.Compare(string(a.DN), string(b.DN))
	})
	s.Objects = func(yield func(apic.Object, error) bool) {
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	}
	for _, sub := range m.subscriptions {
		s.Subscriptions = append(s.Subscriptions, sub)
	}
	slices.SortFunc(s.Subscriptions, func(a, b apic.Subscription) int {
		return strings.Compare(a.ID, b.ID)
	})
	for _, p := range m.positions {
		s.Positions = append(s.Positions, p)
	}
	slices.SortFunc(s.Positions, func(a, b apic.Position) int {
		return strings.Compare(string(a.Class)+"\x00"+a.Consumer, string(b.Class)+"\x00"+b.Consumer)
	})
	return s, nil
}

// SavePosition implements [apic.Journal].
func (m *MemoryLog) SavePosition(ctx context.Context, p apic.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failLocked(ctx); err != nil {
		return fmt.Errorf("save the position of %q in class %q: %w", p.Consumer, p.Class, err)
	}
	m.positions[p.PositionKey] = p
	return nil
}

// DeletePosition implements [apic.Journal].
func (m *MemoryLog) DeletePosition(ctx context.Context, key apic.PositionKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failLocked(ctx); err != nil {
		return fmt.Errorf("delete the position of %q in class %q: %w", key.Consumer, key.Class, err)
	}
	delete(m.positions, key)
	return nil
}

var errNeither = errors.New("an entry must be an event or a gap")

// seal gives entries their ids, from first on.
func seal(entries []apic.Entry, first apic.ID) ([]*apic.Entry, error) {
	if first+apic.ID(len(entries)) > apic.MaxID {
		return nil, errors.New("the timeline has reached 2^53, the largest id that JavaScript can hold")
	}
	sealed := make([]apic.Entry, len(entries))
	list := make([]*apic.Entry, len(entries))
	for i, e := range entries {
		if (e.Event == nil) == (e.Gap == nil) {
			return nil, errNeither
		}
		sealed[i] = e.Seal(first + apic.ID(i))
		list[i] = &sealed[i]
	}
	return list, nil
}

// durable is what is kept of a subscription: what was asked for, without what
// only describes the running process.
func durable(s apic.Subscription) apic.Subscription {
	return apic.Subscription{
		ID: s.ID, Fabric: s.Fabric, Query: s.Query, OnlyNew: s.OnlyNew,
		CreatedAt: s.CreatedAt, Begun: s.Begun, ProvenAt: s.ProvenAt,
	}
}
