package apic

import (
	"fmt"
	"strconv"
	"time"
)

// An ID is a place on the one timeline of the service: it grows strictly over
// all classes and fabrics and is never used twice. It stays below 2^53, so
// that JavaScript can hold it.
type ID int64

// MaxID is the largest id that can be.
const MaxID ID = 1<<53 - 1

// ParseID reads an id as it stands in a URL, a Last-Event-ID or JSON.
func ParseID(s string) (ID, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || ID(n) > MaxID || s[0] == '+' {
		return 0, fmt.Errorf("%.40q is no event id: an id is a whole number from 0 to 2^53-1", s)
	}
	return ID(n), nil
}

// FirstID returns the id before the first of a log created at t: its creation
// time in microseconds, so that an id of another log is recognised as such
// instead of being mistaken for another event.
func FirstID(t time.Time) ID { return ID(t.UnixMicro()) }

// Status says what happened to the object.
type Status string

// The words of the wire.
const (
	Created  Status = "created"
	Modified Status = "modified"
	Deleted  Status = "deleted"
)

// Origin says how acitap knows.
type Origin string

const (
	// Live was pushed by the APIC.
	Live Origin = "live"
	// Snapshot is an object that existed when its subscription began.
	Snapshot Origin = "snapshot"
	// Resync was found by comparing lists after an outage: its moment is
	// approximate, and what came and went in between is not told.
	Resync Origin = "resync"
)

// An Event is one change of one object. It is not modified after it was made.
type Event struct {
	Time       time.Time // when acitap received it, UTC, whole microseconds
	Fabric     string
	Class      Class
	DN         DN
	Status     Status
	Origin     Origin
	Attributes Attrs    // as the APIC sent them: whole for created, what changed for modified
	Changes    []Change // for modified, where the earlier value is known
	// Object is the whole object after the event; for deleted, as it last
	// stood. It is zero where acitap never saw the whole object.
	Object Attrs
}

// A Gap says that between two moments something was out of sight.
type Gap struct {
	Time    time.Time // when it was written, UTC, whole microseconds
	Fabric  string
	Classes []Class
	From    time.Time // the last proof of life of the subscriptions concerned
	To      time.Time // the end of the comparison
	Reason  string
	Healed  bool // the resync events just before it make the state whole again
}

// An Entry is one entry of the timeline: an event or a gap. Entries are
// shared between readers and must not be modified.
type Entry struct {
	ID    ID
	Event *Event // nil for a gap
	Gap   *Gap   // nil for an event
	JSON  []byte // encoded once when it got its id, without the object
}

// Time returns when the entry was written.
func (e *Entry) Time() time.Time {
	if e.Gap != nil {
		return e.Gap.Time
	}
	return e.Event.Time
}

// Concerns reports whether the entry is an event of the class, or a gap in it.
func (e *Entry) Concerns(c Class) bool {
	if e.Gap == nil {
		return e.Event.Class == c
	}
	for _, g := range e.Gap.Classes {
		if g.Covers(c) || c.Covers(g) {
			return true
		}
	}
	return len(e.Gap.Classes) == 0
}

// Seal returns the entry with its id and its encoding. A journal calls it
// once, when it has given the entry its place.
func (e Entry) Seal(id ID) Entry {
	e.ID = id
	e.JSON = e.appendJSON(make([]byte, 0, 512))
	return e
}

const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeFormat)
	return append(b, '"')
}

func (e *Entry) appendJSON(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, int64(e.ID), 10)
	if g := e.Gap; g != nil {
		b = append(b, `,"time":`...)
		b = appendTime(b, g.Time)
		b = append(b, `,"kind":"gap","fabric":`...)
		b = appendJSONText(b, g.Fabric)
		b = append(b, `,"classes":[`...)
		for i, c := range g.Classes {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONText(b, string(c))
		}
		b = append(b, `],"from":`...)
		b = appendTime(b, g.From)
		b = append(b, `,"to":`...)
		b = appendTime(b, g.To)
		b = append(b, `,"reason":`...)
		b = appendJSONText(b, g.Reason)
		b = append(b, `,"healed":`...)
		b = strconv.AppendBool(b, g.Healed)
		return append(b, '}')
	}
	v := e.Event
	b = append(b, `,"time":`...)
	b = appendTime(b, v.Time)
	b = append(b, `,"fabric":`...)
	b = appendJSONText(b, v.Fabric)
	b = append(b, `,"class":`...)
	b = appendJSONText(b, string(v.Class))
	b = append(b, `,"dn":`...)
	b = appendJSONText(b, string(v.DN))
	b = append(b, `,"path":`...)
	b = v.DN.Path().AppendJSON(b)
	b = append(b, `,"status":`...)
	b = appendJSONText(b, string(v.Status))
	b = append(b, `,"origin":`...)
	b = appendJSONText(b, string(v.Origin))
	b = append(b, `,"attributes":`...)
	b = v.Attributes.AppendJSON(b)
	if v.Status == Modified && v.Changes != nil {
		b = append(b, `,"changes":{`...)
		for i, c := range v.Changes {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONText(b, c.Name)
			b = append(b, `:{"old":`...)
			b = appendJSONText(b, c.Old)
			b = append(b, `,"new":`...)
			b = appendJSONText(b, c.New)
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// AppendJSON appends the path as a JSON object of strings.
func (p Path) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, e := range p {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONText(b, e.Kind)
		b = append(b, ':')
		b = appendJSONText(b, e.Name)
	}
	return append(b, '}')
}

// MarshalJSON encodes the path as a JSON object of strings.
func (p Path) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }

// WithObject returns the entry's JSON with the whole object added, as
// include=object asks. Of a gap, and of an event whose object is not known,
// it returns the JSON as it is.
func (e *Entry) WithObject() []byte {
	if e.Event == nil || e.Event.Object.IsZero() {
		return e.JSON
	}
	b := make([]byte, 0, len(e.JSON)+1024)
	b = append(b, e.JSON[:len(e.JSON)-1]...)
	b = append(b, `,"object":`...)
	b = e.Event.Object.AppendJSON(b)
	return append(b, '}')
}

// Now returns the time as it stands in events: UTC, whole microseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
