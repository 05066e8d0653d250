package apic

import (
	"sync/atomic"
	"time"
)

// A link is a subscription as one connection has it. The fields without an
// atomic are guarded by the hub's lock.
type link struct {
	sub  *subscription
	conn *conn
	id   string // APIC's, known once it is made

	active  bool // compared, and told live
	shown   bool // what the comparison told is on the timeline
	listing bool // a list is under way: what comes is kept beside it
	dropped bool // replaced, or its connection is over

	kept  map[DN][]kept
	keptN int
	spilt bool // more came than can be kept: the list must be read again

	framed time.Time // the newest frame that named it

	refreshed moment // when the last refresh that succeeded was sent
	counted   moment // when its objects were last found complete
	listed    moment // when its last list was begun
	strikes   int    // owned by the refresher
	odd       int    // owned by the checker: counts in a row that did not agree
}

// maxKept bounds the changes kept beside one list.
const maxKept = 200_000

// A moment is a time that goroutines share.
type moment struct{ ns atomic.Int64 }

func (m *moment) set(t time.Time) { m.ns.Store(t.UnixNano()) }

func (m *moment) get() time.Time {
	if ns := m.ns.Load(); ns != 0 {
		return time.Unix(0, ns).UTC()
	}
	return time.Time{}
}

// proof returns the last moment up to which nothing of the subscription can
// have been missed: a frame that names it, as the socket keeps the order, or a
// count that agreed. Neither a pong nor a refresh proves that an APIC pushes.
func (l *link) proof() time.Time {
	if c := l.counted.get(); c.After(l.framed) {
		return c
	}
	return l.framed
}

func (l *link) keep(k kept) {
	if l.keptN >= maxKept {
		l.spilt = true
		return
	}
	if l.kept == nil {
		l.kept = make(map[DN][]kept)
	}
	l.kept[k.mo.dn] = append(l.kept[k.mo.dn], k)
	l.keptN++
}

// begin starts keeping beside a list.
func (l *link) begin() {
	l.listing, l.kept, l.keptN, l.spilt = true, nil, 0, false
}

// A subscription is one that the hub keeps, with what it is now. Its fields
// are guarded by the hub's lock.
type subscription struct {
	Subscription
	links     []*link // one, or two while one session takes over from another
	settled   chan struct{}
	refusal   error // why the APIC refuses it for good
	refusedAt time.Time

	gapFrom   time.Time // begin of what was out of sight, zero when nothing is
	gapReason string

	seen map[Class]bool // classes of objects that it has told
}

// settle wakes who waits for the first answer.
func (s *subscription) settle() {
	select {
	case <-s.settled:
	default:
		close(s.settled)
	}
}

// live reports whether some connection tells it.
func (s *subscription) live() bool {
	for _, l := range s.links {
		if l.active {
			return true
		}
	}
	return false
}

// lose notes that it is out of sight since a moment. An older gap that is not
// closed yet stands.
func (s *subscription) lose(from time.Time, reason string) {
	if s.Begun && s.gapFrom.IsZero() {
		s.gapFrom, s.gapReason = from, reason
	}
}

func (s *subscription) unlink(l *link) {
	for i := range s.links {
		if s.links[i] == l {
			s.links = append(s.links[:i:i], s.links[i+1:]...)
			return
		}
	}
}

// state derives what is reported. Who sees a subscription active sees its
// objects and events too.
func (s *subscription) state() State {
	for _, l := range s.links {
		if l.active && l.shown {
			return Active
		}
	}
	switch {
	case s.refusal != nil:
		return Failed
	}
	return Pending
}

// classes returns what its events can be of, as far as known.
func (s *subscription) classes() []Class {
	if c := s.Query.Classes(); c != nil {
		return c
	}
	var list []Class
	for c := range s.seen {
		list = append(list, c)
	}
	sortClasses(list)
	return list
}
