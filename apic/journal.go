package apic

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sort"
	"time"
	"unique"
)

// A Journal keeps the timeline and its fold, the objects, and everything else
// that must outlive the process. The hub states it here; package eventlog
// implements it in memory and on disk, and package journaltest holds what
// every journal must do.
//
// Append is called by one goroutine at a time, the hub's; everything else may
// be called at any time from any goroutine, also from the body of a loop over
// what a journal yields, and must not wait for a long read of somebody else.
type Journal interface {
	// Append gives the batch's entries their ids and encodings ([Entry.Seal]),
	// makes them and all else in the batch durable in one transaction, and
	// returns the sealed entries. When it returns an error nothing of the batch
	// has happened. The objects follow the events: created and modified with a
	// known object put it, deleted removes it.
	// It keeps nothing of b.
	Append(ctx context.Context, b *Batch) ([]*Entry, error)

	// Read yields what the range asks for, in its order, as the log stands when
	// the iterator begins. A range that begins before the log's floor, or above
	// its newest entry, yields a *GoneError and nothing else; one that retention
	// overtakes while it is read ends with a *GoneError.
	Read(ctx context.Context, r Range) iter.Seq2[*Entry, error]

	// FirstAfter yields for each object that the narrowing admits its first
	// event with an id above after, in no particular order: what is needed to
	// tell how an object stood at that place.
	FirstAfter(ctx context.Context, after ID, n Narrow) iter.Seq2[*Entry, error]

	// Count returns how many events of the class have an id above after and at
	// most until.
	Count(ctx context.Context, c Class, after, until ID) (int64, error)

	// Bounds returns where the log begins and ends. It does not block.
	Bounds() Bounds

	// IDAt returns the largest id of an entry written before t, or the floor.
	IDAt(ctx context.Context, t time.Time) (ID, error)

	// Load returns what was kept, for the hub's start.
	Load(ctx context.Context) (*Saved, error)

	// SavePosition makes a reader's place durable before it returns.
	// Calls that are under way together may share a transaction.
	SavePosition(ctx context.Context, p Position) error
	// DeletePosition forgets a reader. It is no error when there is none.
	DeletePosition(ctx context.Context, key PositionKey) error
}

// Bounds says what a log holds. Entries with Floor < id <= Newest are there.
type Bounds struct {
	Origin ID // the id before the first this log ever gave: its creation time
	Floor  ID // the last id that retention took, Origin at first
	Newest ID // the last id given or passed over, Floor when the log is empty
	// Lost are spans of ids that were given before a crash of the machine took
	// their entries back, or may have been; sorted.
	Lost []Span
}

// A Span is the ids above After and below Until.
type Span struct{ After, Until ID }

// Check returns the *GoneError of a place that this log cannot continue from.
func (b Bounds) Check(after ID) error {
	switch {
	case after > b.Newest || after < b.Origin:
		return &GoneError{Asked: after, Oldest: b.Floor + 1, Reason: "unknown-id"}
	case after < b.Floor:
		return &GoneError{Asked: after, Oldest: b.Floor + 1, Reason: "retention"}
	}
	// Who was shown what was taken back has all before it, and does not know
	// what of the rest still holds.
	if i := sort.Search(len(b.Lost), func(i int) bool { return b.Lost[i].Until > after }); i < len(b.Lost) && b.Lost[i].After < after {
		return &GoneError{Asked: after, Oldest: max(b.Lost[i].After, b.Floor) + 1, Reason: "unknown-id"}
	}
	return nil
}

// ErrGone is what every [GoneError] is.
var ErrGone = errors.New("not in the log any more")

// A GoneError says that a place is not in the log and where one can go on.
type GoneError struct {
	Asked  ID
	Oldest ID     // the smallest id to go on with; Oldest-1 is a place that can be read from
	Reason string // retention, or unknown-id: an id of another log, or taken back by a crash of the machine
}

func (e *GoneError) Error() string {
	if e.Reason == "unknown-id" {
		return fmt.Sprintf("id %d is of another log, or a crash of the machine took it back; the oldest entry to go on with is %d", e.Asked, e.Oldest)
	}
	return fmt.Sprintf("what followed id %d has been removed by retention; the oldest entry that is held is %d", e.Asked, e.Oldest)
}

// Is makes every GoneError an [ErrGone].
func (e *GoneError) Is(target error) bool { return target == ErrGone }

// A Batch is what becomes durable together.
type Batch struct {
	Entries []Entry // without ids, in order

	// Put and Drop change the objects without an event: what existed when a
	// subscription for new events only began, and what nobody subscribes to
	// any more. They are carried out after the entries.
	Put  []Object
	Drop []ObjectKey

	// Subscriptions are stored as given, keyed by id; Unsubscribe removes.
	Subscriptions []Subscription
	Unsubscribe   []string

	// Positions are stored with the rest (a class's own queue begins with its
	// first subscription).
	Positions []Position
	Forget    []PositionKey
}

// An ObjectKey names an object.
type ObjectKey struct {
	Fabric string
	DN     DN
}

// An Object is what is true now of one object, as far as acitap knows.
type Object struct {
	Fabric string
	Class  Class
	DN     DN
	Attrs  Attrs
	Last   ID // the last event of it, 0 when it never had one
}

// A PositionKey names a reader: the queue of a class ("" as consumer), a
// consumer's own queue of a class, or a webhook (Class "" and its id).
type PositionKey struct {
	Class    Class
	Consumer string
}

// A Position is a reader's place: all up to ID is done with.
type Position struct {
	PositionKey
	At        ID
	Taken     int64     // how many events it has handed out
	UpdatedAt time.Time // when it last moved
}

// Saved is what a journal kept.
type Saved struct {
	Objects       iter.Seq2[Object, error] // to be read to the end before anything else is called
	Subscriptions []Subscription
	Positions     []Position
}

// A Range is a part of the timeline.
type Range struct {
	After ID   // begins behind it
	Until ID   // ends with it; 0 stands for the newest
	Desc  bool // newest first
	Limit int  // at most so many entries; 0 for all
	Narrow
}

// A Narrow admits entries by what a journal can find with an index. A field
// that is empty admits all. Fields are joined by and, values of a field by or.
// A gap is admitted when Kinds does and it concerns one of the classes and
// fabrics; no other field applies to gaps.
type Narrow struct {
	Classes  []Class
	DNs      []DN // exactly these
	Below    []DN // these and all below them, together with DNs
	Statuses []Status
	Origins  []Origin
	Fabrics  []string
	Tenants  []string
	Nodes    []string
	Kinds    Kinds
}

// Kinds are the kinds of entries; the zero value is both.
type Kinds int

const (
	EventsAndGaps Kinds = iota
	EventsOnly
	GapsOnly
)

// Admits reports whether the entry is in the narrowing. Journals that have no
// index for a field use it, and so does the ring.
func (n *Narrow) Admits(e *Entry) bool {
	if e.Gap != nil {
		return n.Kinds != EventsOnly && anyOf(n.Fabrics, e.Gap.Fabric) && n.concerns(e)
	}
	v := e.Event
	if n.Kinds == GapsOnly || !anyOf(n.Classes, v.Class) || !anyOf(n.Statuses, v.Status) ||
		!anyOf(n.Origins, v.Origin) || !anyOf(n.Fabrics, v.Fabric) {
		return false
	}
	if len(n.DNs)+len(n.Below) > 0 && !n.admitsDN(v.DN) {
		return false
	}
	if len(n.Tenants)+len(n.Nodes) > 0 {
		path := v.DN.Path()
		if !anyOf(n.Tenants, path.Get("tenant")) || !anyOf(n.Nodes, path.Get("node")) {
			return false
		}
	}
	return true
}

func (n *Narrow) concerns(e *Entry) bool {
	if len(n.Classes) == 0 {
		return true
	}
	for _, c := range n.Classes {
		if e.Concerns(c) {
			return true
		}
	}
	return false
}

func (n *Narrow) admitsDN(dn DN) bool {
	for _, d := range n.DNs {
		if d == dn {
			return true
		}
	}
	for _, d := range n.Below {
		if d == dn || dn.Below(d) {
			return true
		}
	}
	return false
}

func anyOf[T comparable](list []T, v T) bool {
	if len(list) == 0 {
		return true
	}
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// Shape is the names of the attributes as one value that can be compared: sets
// with the same names have the same shape. A journal keeps it once for all
// objects of a kind.
func (a Attrs) Shape() unique.Handle[string] {
	if a.values == "" {
		return unique.Handle[string]{}
	}
	return a.names
}
