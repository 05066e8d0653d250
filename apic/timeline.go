package apic

import (
	"context"
	"sort"
	"sync"
)

// A timeline is the journal with its newest entries in memory and the queues
// that stand on it. Its readers hold positions: they never wait for one
// another, and nobody who reads slowly holds up append.
type timeline struct {
	journal Journal
	size    int // entries in the ring at the most

	mu     sync.RWMutex // guards all fields below; a queue's lock may be held when it is taken, never the other way
	ring   []*Entry     // grows to size, then wraps
	head   int          // index of the oldest
	floor  ID           // the ring holds every entry above it
	newest ID           // the last entry that readers may see
	grown  chan struct{}
	class  map[Class]*classLine
	gaps   []*Entry // the newest gaps, maxGaps at most, ids growing
	gapsAt ID       // gaps holds every gap above it
	queues map[PositionKey]*queue
}

// A classLine is what the ring holds of one class.
type classLine struct {
	events []*Entry // in order; Invariant: exactly the ring's events of the class
	grown  chan struct{}
}

// maxGaps bounds the gaps that are remembered for Acitap-Gap; older ones are
// looked up in the journal.
const maxGaps = 256

func newTimeline(j Journal, size int, positions []Position) *timeline {
	b := j.Bounds()
	t := &timeline{
		journal: j, size: size, floor: b.Newest, newest: b.Newest, gapsAt: b.Newest,
		grown: make(chan struct{}), class: make(map[Class]*classLine), queues: make(map[PositionKey]*queue),
	}
	for _, p := range positions {
		t.addQueueLocked(p) // nobody else has t yet
	}
	return t
}

// append makes a batch durable and then visible: first the objects, then the
// entries that tell of them. It is called by apply only.
func (t *timeline) append(ctx context.Context, b *Batch, m *mirror) error {
	entries, err := t.journal.Append(ctx, b)
	if err != nil {
		return err
	}
	newest := t.newest // apply alone changes it
	if len(entries) > 0 {
		newest = entries[len(entries)-1].ID
	}
	m.commit(entries, newest)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range b.Forget {
		t.removeQueueLocked(key)
	}
	for _, p := range b.Positions {
		t.addQueueLocked(p)
	}
	touched := make(map[*classLine]bool)
	for _, e := range entries {
		if c := t.pushLocked(e); c != nil {
			touched[c] = true
		}
	}
	if len(entries) > 0 { // one wake-up for the batch
		close(t.grown)
		t.grown = make(chan struct{})
		for c := range touched {
			close(c.grown)
			c.grown = make(chan struct{})
		}
	}
	return nil
}

func (t *timeline) classLocked(c Class) *classLine {
	l := t.class[c]
	if l == nil {
		l = &classLine{grown: make(chan struct{})}
		t.class[c] = l
	}
	return l
}

func (t *timeline) pushLocked(e *Entry) *classLine {
	if len(t.ring) < t.size {
		t.ring = append(t.ring, e)
	} else {
		old := t.ring[t.head]
		t.floor = old.ID
		if old.Event != nil {
			l := t.class[old.Event.Class]
			l.events[0] = nil
			l.events = l.events[1:]
		}
		t.ring[t.head] = e
		t.head = (t.head + 1) % t.size
	}
	t.newest = e.ID
	if e.Gap != nil {
		if len(t.gaps) == maxGaps {
			t.gapsAt = t.gaps[0].ID
			t.gaps = t.gaps[1:]
		}
		t.gaps = append(t.gaps, e)
		return nil
	}
	l := t.classLocked(e.Event.Class)
	l.events = append(l.events, e)
	return l
}

// recent is after for a place that the ring reaches; of any other it returns
// false.
func (t *timeline) recent(after ID, n *Narrow, limit int) ([]*Entry, ID, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if after < t.floor || after > t.newest {
		return nil, after, false
	}
	var entries []*Entry
	first := sort.Search(len(t.ring), func(i int) bool { return t.ringLocked(i).ID > after })
	for i := first; i < len(t.ring); i++ {
		e := t.ringLocked(i)
		if !n.Admits(e) {
			continue
		}
		if entries = append(entries, e); len(entries) == limit {
			return entries, e.ID, true
		}
	}
	return entries, t.newest, true
}

// after returns the entries that n admits of those above a place, at most
// limit, and the place that has been reached with them: where to go on, which
// can be beyond the last entry returned. It does not wait. A place that the
// log has lost gives a *GoneError.
func (t *timeline) after(ctx context.Context, after ID, n *Narrow, limit int) ([]*Entry, ID, error) {
	if entries, at, ok := t.recent(after, n, limit); ok {
		return entries, at, nil
	}
	b := t.bounds()
	if err := b.Check(after); err != nil {
		return nil, after, err
	}
	var entries []*Entry
	at := b.Newest
	for e, err := range t.journal.Read(ctx, Range{After: after, Until: b.Newest, Limit: limit, Narrow: *n}) {
		if err != nil {
			return nil, after, err
		}
		if entries = append(entries, e); len(entries) == limit {
			at = e.ID
		}
	}
	return entries, at, nil
}

func (t *timeline) ringLocked(i int) *Entry { return t.ring[(t.head+i)%len(t.ring)] }

// classAfter returns the events of a class above a place, at most limit.
func (t *timeline) classAfter(ctx context.Context, c Class, after ID, limit int) ([]*Entry, error) {
	t.mu.RLock()
	if after >= t.floor && after <= t.newest {
		defer t.mu.RUnlock()
		l := t.class[c]
		if l == nil {
			return nil, nil
		}
		rest := l.events[l.firstAfter(after):]
		return append([]*Entry(nil), rest[:min(limit, len(rest))]...), nil
	}
	t.mu.RUnlock()
	entries, _, err := t.after(ctx, after, &Narrow{Classes: []Class{c}, Kinds: EventsOnly}, limit)
	return entries, err
}

func (l *classLine) firstAfter(id ID) int {
	return sort.Search(len(l.events), func(i int) bool { return l.events[i].ID > id })
}

// counts are events of a class: in the log below the ring, and in the ring.
type counts struct{ older, ring int64 }

// count returns how many events of a class stand above a place, and up to
// where the older ones go.
func (t *timeline) count(ctx context.Context, c Class, after ID) (n counts, horizon ID, err error) {
	t.mu.RLock()
	horizon = t.floor
	if l := t.class[c]; l != nil {
		n.ring = int64(len(l.events) - l.firstAfter(after))
	}
	t.mu.RUnlock()
	if after >= horizon {
		return n, horizon, nil
	}
	n.older, err = t.journal.Count(ctx, c, after, horizon)
	return n, horizon, err
}

// bounds are those of the journal, up to what readers may see.
func (t *timeline) bounds() Bounds {
	b := t.journal.Bounds()
	t.mu.RLock()
	defer t.mu.RUnlock()
	b.Newest = t.newest
	return b
}

// wait returns a channel that is closed when there are entries above a place.
func (t *timeline) wait(after ID) <-chan struct{} {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.newest > after {
		return closed
	}
	return t.grown
}

// closed is a channel that never blocks.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// waitClass returns a channel that is closed with the next event of a class
// above a place, or when a queue of it ends.
func (t *timeline) waitClass(c Class, after ID) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.classLocked(c)
	if after < t.floor || l.firstAfter(after) < len(l.events) {
		return closed
	}
	return l.grown
}

// lastGap returns the newest gap in the class between two places (exclusive,
// inclusive), 0 for none.
func (t *timeline) lastGap(ctx context.Context, c Class, after, until ID) (ID, error) {
	t.mu.RLock()
	var found ID
	for i := len(t.gaps) - 1; i >= 0 && t.gaps[i].ID > after; i-- {
		if g := t.gaps[i]; g.ID <= until && g.Concerns(c) {
			found = g.ID
			break
		}
	}
	reaches := t.gapsAt <= after
	t.mu.RUnlock()
	if found != 0 || reaches {
		return found, nil
	}
	n := Narrow{Classes: []Class{c}, Kinds: GapsOnly}
	for e, err := range t.journal.Read(ctx, Range{After: after, Until: until, Desc: true, Limit: 1, Narrow: n}) {
		if err != nil {
			return 0, err
		}
		return e.ID, nil
	}
	return 0, nil
}

func (t *timeline) addQueueLocked(p Position) *queue {
	if q, ok := t.queues[p.PositionKey]; ok {
		return q
	}
	q := &queue{key: p.PositionKey, line: t, at: p.At, durable: p, taken: p.Taken, movedAt: p.UpdatedAt, below: -1, era: new(era)}
	t.queues[p.PositionKey] = q
	return q
}

func (t *timeline) removeQueueLocked(key PositionKey) {
	if q, ok := t.queues[key]; ok {
		delete(t.queues, key)
		q.ended.Store(true)
		if l := t.class[key.Class]; l != nil { // wake who waits on it
			close(l.grown)
			l.grown = make(chan struct{})
		}
	}
}

func (t *timeline) queue(key PositionKey) *queue {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.queues[key]
}
