package apic

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A queue is a place on the timeline from which the events of one class are
// taken, each once: the class's own queue, or a consumer's.
type queue struct {
	key   PositionKey
	line  *timeline
	ended atomic.Bool // removed from the timeline

	mu      sync.Mutex // guards all below; held over reads of the log, never over writes
	at      ID         // all up to it is taken
	taken   int64
	movedAt time.Time
	rested  time.Time // when its place was last stored although it handed out nothing
	ahead   []*Entry  // read from the log ahead of need, all above at

	// What is known of pending, so that a deep queue is not counted at each
	// question: below events above at and at most upto, -1 when unknown.
	below   int64
	upto    ID
	counted time.Time

	durable Position      // what the journal has
	saving  chan struct{} // closed when the write under way has ended, nil when there is none
	era     *era          // of what is taken now
}

// An era is the time between two failed writes of a queue's place. What was
// taken in it is done with as far as it was durable when the era ended.
type era struct {
	failed  error // why it ended; nil while it lasts
	durable ID    // where the queue fell back to
}

// readAhead is how many events a queue reads at once when it has fallen behind
// the ring.
const readAhead = 1000

// peekLocked returns the next events, at most limit, and takes none.
func (q *queue) peekLocked(ctx context.Context, limit int) ([]*Entry, error) {
	for len(q.ahead) > 0 && q.ahead[0].ID <= q.at {
		q.ahead = q.ahead[1:]
	}
	if len(q.ahead) >= limit || len(q.ahead) > 0 && limit < readAhead {
		return q.ahead[:min(limit, len(q.ahead))], nil
	}
	q.line.mu.RLock()
	inRing := q.at >= q.line.floor
	q.line.mu.RUnlock()
	want := limit
	if !inRing {
		want = readAhead
	}
	events, err := q.line.classAfter(ctx, q.key.Class, q.at, want)
	if err != nil {
		return nil, err
	}
	q.ahead = nil
	if !inRing {
		q.ahead = events
	}
	return events[:min(limit, len(events))], nil
}

// A take is what a caller has taken and not been answered with yet.
type take struct {
	events []*Entry
	from   ID   // the queue's place before
	era    *era // of the queue
}

// takeLocked moves the queue behind its next events, at most limit.
func (q *queue) takeLocked(events []*Entry) take {
	t := take{events: events, from: q.at, era: q.era}
	for _, e := range events {
		if q.below > 0 && e.ID <= q.upto {
			q.below--
		}
	}
	if len(events) > 0 {
		q.at = events[len(events)-1].ID
		q.taken += int64(len(events))
		q.movedAt = Now()
	}
	return t
}

// moveLocked puts the queue at a place.
func (q *queue) moveLocked(at ID) {
	q.at, q.ahead, q.movedAt, q.below = at, nil, Now(), -1
}

// commit makes the queue's place durable, at least up to id. Callers share
// writes: while one is under way the next gather, and one of them writes for
// all. When a write fails the queue falls back to what is durable, and every
// caller who took since then gets the error: nothing is lost by it, and nothing
// handed out twice.
func (q *queue) commit(ctx context.Context, id ID, taken *era) error {
	q.mu.Lock()
	for {
		switch {
		case taken.failed != nil:
			q.mu.Unlock()
			if id <= taken.durable {
				return nil
			}
			return taken.failed
		case q.durable.At >= id:
			q.mu.Unlock()
			return nil
		}
		if s := q.saving; s != nil {
			q.mu.Unlock()
			<-s
			q.mu.Lock()
			continue
		}
		done := make(chan struct{})
		q.saving = done
		q.mu.Unlock()
		// Who can run now takes first: a write costs far more than a turn.
		runtime.Gosched()
		q.mu.Lock()
		p := Position{PositionKey: q.key, At: q.at, Taken: q.taken, UpdatedAt: q.movedAt}
		q.mu.Unlock()
		// The write is not given up with the caller: others stand behind it.
		err := q.line.journal.SavePosition(context.WithoutCancel(ctx), p)
		q.mu.Lock()
		if err == nil {
			q.durable = p
		} else {
			q.at, q.taken, q.ahead, q.below = q.durable.At, q.durable.Taken, nil, -1
			q.era.failed, q.era.durable = err, q.durable.At
			q.era = new(era)
		}
		q.saving = nil
		close(done)
	}
}

// rest moves a queue that has nothing to hand out up to a place, unless a gap
// lies in between, which the next answer is to name.
func (q *queue) rest(ctx context.Context, newest ID) error {
	at := q.place().At
	n, err := q.pending(ctx)
	if err != nil || n > 0 {
		return err
	}
	if gap, err := q.line.lastGap(ctx, q.key.Class, at, newest); err != nil || gap > 0 {
		return err
	}
	q.mu.Lock()
	if q.at >= newest {
		q.mu.Unlock()
		return nil
	}
	// Events above newest may have come since it was counted; none of them is
	// at or below it.
	q.at, q.below, q.upto = newest, 0, newest
	now := q.era
	due := time.Since(q.rested) >= restEvery
	if due {
		q.rested = time.Now()
	}
	q.mu.Unlock()
	if !due {
		return nil
	}
	return q.commit(ctx, newest, now)
}

// recountEvery bounds how often a queue that retention has overtaken is
// counted anew.
const recountEvery = 10 * time.Second

// pending returns how many events the queue has still to hand out. Only what
// has left the ring since the last question is counted in the log.
func (q *queue) pending(ctx context.Context) (int64, error) {
	q.mu.Lock()
	at, below, upto, counted := q.at, q.below, q.upto, q.counted
	q.mu.Unlock()
	floor := q.line.journal.Bounds().Floor
	gone := at < floor
	if gone && time.Since(counted) >= recountEvery {
		below = -1
	}
	from := max(upto, at)
	if below < 0 {
		below, from = 0, max(at, floor)
	}
	n, horizon, err := q.line.count(ctx, q.key.Class, from)
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.at == at { // nobody took meanwhile: what is below the ring is known now
		q.below, q.upto, q.counted = below+n.older, max(horizon, from), time.Now()
	}
	return below + n.older + n.ring, nil
}

// restEvery is how often the place of a quiet queue is stored: far more often
// than retention takes anything.
const restEvery = time.Hour
