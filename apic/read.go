package apic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Bounds returns where the timeline begins and ends, as readers may see it.
func (h *Hub) Bounds() Bounds { return h.line.bounds() }

// IDAt returns the largest id of an entry written before t.
func (h *Hub) IDAt(ctx context.Context, t time.Time) (ID, error) {
	return h.line.journal.IDAt(ctx, t)
}

// After returns the entries that n admits of those above a place, at most
// limit, and the place reached with them, from where to go on. From the newest
// entries it answers out of memory, else out of the log, with no seam in
// between. It does not wait for more: see [Hub.Grown]. A place that the log
// has lost gives a [*GoneError].
func (h *Hub) After(ctx context.Context, after ID, n *Narrow, limit int) (entries []*Entry, at ID, err error) {
	return h.line.after(ctx, after, n, limit)
}

// Recent is After for those who must not wait for the log: it answers out of
// memory, and returns false for a place that memory does not reach.
func (h *Hub) Recent(after ID, n *Narrow, limit int) (entries []*Entry, at ID, ok bool) {
	return h.line.recent(after, n, limit)
}

// Grown returns a channel that is closed as soon as the timeline goes beyond
// a place. Many readers may wait on one; it is closed once a batch.
func (h *Hub) Grown(after ID) <-chan struct{} { return h.line.wait(after) }

// Read yields a part of the timeline in either order, out of the log, up to
// what readers may see now. Its errors are those of [Journal.Read].
func (h *Hub) Read(ctx context.Context, r Range) iter.Seq2[*Entry, error] {
	if newest := h.line.bounds().Newest; r.Until == 0 || r.Until > newest {
		r.Until = newest
	}
	return h.line.journal.Read(ctx, r)
}

// Entry returns one entry of the timeline, ErrNotFound when no entry has that
// id, a [*GoneError] when the log has lost it.
func (h *Hub) Entry(ctx context.Context, id ID) (*Entry, error) {
	b := h.Bounds()
	if id > b.Newest {
		return nil, ErrNotFound
	}
	if err := b.Check(id - 1); err != nil {
		return nil, err
	}
	entries, _, err := h.After(ctx, id-1, &Narrow{}, 1)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 || entries[0].ID != id {
		return nil, ErrNotFound
	}
	return entries[0], nil
}

// NextOptions say how to take events off a queue.
type NextOptions struct {
	Consumer string        // "" for the class's own queue
	Max      int           // at most so many events; 0 is 1
	Wait     time.Duration // for the first event
	// Ack changes the call to at least once: all up to Acked is done with, and
	// what is returned comes again until it is acked in its turn.
	Ack   bool
	Acked ID
	// Begin says where a consumer that is new begins; nil is behind the newest
	// entry.
	Begin *ID
}

// Taken is what [Hub.Next] returns.
type Taken struct {
	Events []*Entry // empty when there was none in time
	Gap    ID       // the newest gap that lies before the last event, 0 for none
}

// ErrBadAck refuses an ack beyond the newest entry.
var ErrBadAck = errors.New("ack is beyond the newest entry")

// Next takes the next events off the queue of some classes, in the order of
// the timeline: each event goes to one caller of this queue, and its place is
// durable when Next returns. It returns ErrNotSubscribed when none of the
// classes is, and a [*GoneError] when retention has overtaken the queue, which
// then goes on from the oldest entry with the next call. When ctx ends, nothing
// has been taken.
func (h *Hub) Next(ctx context.Context, classes []Class, o NextOptions) (Taken, error) {
	queues, err := h.openQueues(ctx, classes, o)
	if err != nil {
		return Taken{}, err
	}
	if o.Ack {
		if o.Acked > h.Bounds().Newest {
			return Taken{}, ErrBadAck
		}
		for _, q := range queues {
			if err := q.ack(ctx, o.Acked); err != nil {
				return Taken{}, err
			}
		}
	}
	var deadline <-chan time.Time
	if o.Wait > 0 {
		timer := time.NewTimer(o.Wait)
		defer timer.Stop()
		deadline = timer.C
	}
	for {
		seen := h.Bounds().Newest
		taken, err := h.takeOnce(ctx, queues, max(o.Max, 1), o.Ack)
		if err != nil || len(taken.Events) > 0 || o.Wait <= 0 {
			return taken, err
		}
		for _, q := range queues {
			if q.ended.Load() {
				return Taken{}, ErrNotSubscribed
			}
		}
		grown := h.line.wait(seen)
		if len(queues) == 1 {
			grown = h.line.waitClass(queues[0].key.Class, seen)
		}
		select {
		case <-grown:
		case <-deadline:
			return Taken{}, nil
		case <-ctx.Done():
			return Taken{}, ctx.Err()
		}
	}
}

// takeOnce takes what is there, without waiting. With peek the queues stay
// where they are.
func (h *Hub) takeOnce(ctx context.Context, queues []*queue, limit int, peek bool) (Taken, error) {
	// The queues are locked in the order of their classes, by everybody.
	for _, q := range queues {
		q.mu.Lock()
	}
	unlock := func() {
		for _, q := range queues {
			q.mu.Unlock()
		}
	}
	ahead := make([][]*Entry, len(queues))
	for i, q := range queues {
		events, err := q.peekLocked(ctx, limit)
		if gone, ok := errors.AsType[*GoneError](err); ok {
			q.moveLocked(gone.Oldest - 1)
			at, era := q.at, q.era
			unlock()
			if err := q.commit(ctx, at, era); err != nil {
				return Taken{}, err
			}
			return Taken{}, gone
		}
		if err != nil {
			unlock()
			return Taken{}, err
		}
		ahead[i] = events
	}
	if err := ctx.Err(); err != nil { // the caller has hung up: take nothing
		unlock()
		return Taken{}, err
	}
	var taken Taken
	counts := make([]int, len(queues))
	for len(taken.Events) < limit {
		best := -1
		for i, events := range ahead {
			if counts[i] < len(events) && (best < 0 || events[counts[i]].ID < ahead[best][counts[best]].ID) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		taken.Events = append(taken.Events, ahead[best][counts[best]])
		counts[best]++
	}
	takes := make([]take, len(queues))
	for i, q := range queues {
		takes[i] = take{events: ahead[i][:counts[i]], from: q.at, era: q.era}
		if !peek {
			takes[i] = q.takeLocked(ahead[i][:counts[i]])
		}
	}
	unlock()
	for i, q := range queues {
		n := len(takes[i].events)
		if n == 0 {
			continue
		}
		last := takes[i].events[n-1].ID
		if !peek {
			if err := q.commit(ctx, last, takes[i].era); err != nil {
				return Taken{}, fmt.Errorf("the place of the queue could not be kept, nothing was taken: %w", err)
			}
		}
		gap, err := h.line.lastGap(ctx, q.key.Class, takes[i].from, last)
		if err != nil && !errors.Is(err, ErrGone) {
			h.log.Warn("looking for gaps before taken events failed", "class", q.key.Class, "err", err)
		}
		taken.Gap = max(taken.Gap, gap)
	}
	return taken, nil
}

func (q *queue) ack(ctx context.Context, id ID) error {
	q.mu.Lock()
	if id <= q.at {
		q.mu.Unlock()
		return nil
	}
	n := 0
	for n < len(q.ahead) && q.ahead[n].ID <= id {
		n++
	}
	q.ahead = q.ahead[n:]
	q.at, q.movedAt, q.below = id, Now(), -1
	now := q.era
	q.mu.Unlock()
	return q.commit(ctx, id, now)
}

// openQueues returns the queues of the classes that are subscribed, sorted by
// class, and makes those of a new consumer.
func (h *Hub) openQueues(ctx context.Context, classes []Class, o NextOptions) ([]*queue, error) {
	var queues []*queue
	for _, c := range classes {
		own, err := h.ownQueue(ctx, c)
		if err != nil {
			return nil, err
		}
		if own == nil {
			continue
		}
		if o.Consumer == "" {
			queues = append(queues, own)
			continue
		}
		q, err := h.consumer(ctx, PositionKey{Class: c, Consumer: o.Consumer}, o.Begin)
		if err != nil {
			return nil, err
		}
		queues = append(queues, q)
	}
	if len(queues) == 0 {
		return nil, ErrNotSubscribed
	}
	slices.SortFunc(queues, func(a, b *queue) int { return cmp.Compare(a.key.Class, b.key.Class) })
	return queues, nil
}

// ownQueue returns the class's own queue, nil when the class is not
// subscribed. A subscription that names no classes covers every class: its
// queues are made when they are asked for, as long as the class had no event.
func (h *Hub) ownQueue(ctx context.Context, c Class) (*queue, error) {
	if q := h.line.queue(PositionKey{Class: c}); q != nil || !h.coversAll() {
		return q, nil
	}
	newest := h.Bounds().Newest
	return h.addQueue(ctx, Position{PositionKey: PositionKey{Class: c}, At: newest, UpdatedAt: Now()})
}

func (h *Hub) consumer(ctx context.Context, key PositionKey, begin *ID) (*queue, error) {
	if q := h.line.queue(key); q != nil {
		return q, nil
	}
	at := h.Bounds().Newest
	if begin != nil {
		if err := h.Bounds().Check(*begin); err != nil {
			return nil, err
		}
		at = *begin
	}
	return h.addQueue(ctx, Position{PositionKey: key, At: at, UpdatedAt: Now()})
}

func (h *Hub) addQueue(ctx context.Context, p Position) (*queue, error) {
	h.adding.Lock()
	defer h.adding.Unlock()
	if q := h.line.queue(p.PositionKey); q != nil {
		return q, nil
	}
	if err := h.line.journal.SavePosition(ctx, p); err != nil {
		return nil, err
	}
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	return h.line.addQueueLocked(p), nil
}

// PendingEvents returns how many events of the classes the queue (or the
// consumer's) still has to hand out, ErrNotSubscribed when none of the classes
// is, ErrNotFound for a consumer that never called.
func (h *Hub) PendingEvents(ctx context.Context, classes []Class, consumer string) (int64, error) {
	var n int64
	found, subscribed := false, false
	for _, c := range classes {
		own, err := h.ownQueue(ctx, c)
		if err != nil {
			return 0, err
		}
		if own == nil {
			continue
		}
		subscribed = true
		q := own
		if consumer != "" {
			if q = h.line.queue(PositionKey{Class: c, Consumer: consumer}); q == nil {
				continue
			}
		}
		found = true
		pending, err := q.pending(ctx)
		if err != nil {
			return 0, err
		}
		n += pending
	}
	if !subscribed {
		return 0, ErrNotSubscribed
	}
	if !found {
		return 0, ErrNotFound
	}
	return n, nil
}

func (q *queue) place() Position {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Position{PositionKey: q.key, At: q.at, Taken: q.taken, UpdatedAt: q.movedAt}
}

// A Consumer is a queue of somebody's own.
type Consumer struct {
	Position
	Pending int64 // events of the class that it has not taken
}

// Consumers returns the consumers of the classes, sorted by name and class.
func (h *Hub) Consumers(ctx context.Context, classes []Class) ([]Consumer, error) {
	var list []Consumer
	h.line.mu.RLock()
	var queues []*queue
	for key, q := range h.line.queues {
		if key.Consumer != "" && slices.Contains(classes, key.Class) {
			queues = append(queues, q)
		}
	}
	h.line.mu.RUnlock()
	for _, q := range queues {
		p := q.place()
		n, err := q.pending(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, Consumer{p, n})
	}
	slices.SortFunc(list, func(a, b Consumer) int {
		return cmp.Or(cmp.Compare(a.Consumer, b.Consumer), cmp.Compare(a.PositionKey.Class, b.PositionKey.Class))
	})
	return list, nil
}

// DeleteConsumer forgets a consumer's places in the classes, ErrNotFound when
// it has none.
func (h *Hub) DeleteConsumer(ctx context.Context, classes []Class, name string) error {
	found := false
	for _, c := range classes {
		key := PositionKey{Class: c, Consumer: name}
		if h.line.queue(key) == nil {
			continue
		}
		found = true
		if err := h.line.journal.DeletePosition(ctx, key); err != nil {
			return err
		}
		h.line.mu.Lock()
		h.line.removeQueueLocked(key)
		h.line.mu.Unlock()
	}
	if !found {
		return ErrNotFound
	}
	return nil
}
