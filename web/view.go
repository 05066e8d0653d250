// Package web draws the browser page: templ components over plain view models.
// It does no I/O and knows no hub; whoever serves the page fills a [View].
//
// The page is useful as it is sent: the state of the session, what is
// subscribed and the newest events stand in it without any script. The scripts
// of package static then take over and read the same HTTP API as everyone else.
//
// Everything that a fabric says is text from strangers. templ escapes it here,
// and the scripts set it as text only. No component writes an inline script or
// a style attribute, so that the page works under
//
//	default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';
//	font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'
package web

//go:generate go tool templ generate

import (
	"strconv"
	"strings"
	"time"

	"github.com/acitap/acitap/apic"
)

// A View is what the page shows before its scripts run. Times are UTC; a zero
// time is one that is not known.
type View struct {
	Version string
	Now     time.Time

	// Caller is the name of the token that the page was asked for with, ""
	// where no token is configured, and Role is its role. ReadOnly says that it
	// may not change subscriptions and webhooks.
	Caller   string
	Role     string
	ReadOnly bool

	Fabrics       []Fabric
	Subscriptions []Subscription
	Entries       []Entry // the newest of the timeline, oldest first; a hundred are enough
}

// A Fabric is the session with one fabric.
type Fabric struct {
	Name           string
	State          string // connecting, connected, backoff, failed
	Controller     string
	Version        string // the APIC's release
	ConnectedSince time.Time
	LastProof      time.Time
	LastError      string
	NextTry        time.Time
}

// A Subscription is one query that is kept subscribed.
type Subscription struct {
	ID, Class, Fabric, DN, Scope, Filter, Query string

	State       string // pending, active, failed
	Error       string
	Objects     int
	Events      int64
	LastEventAt time.Time
	LastProof   time.Time
}

// An Entry is one entry of the timeline: an event or a gap.
type Entry struct {
	ID     int64
	Time   time.Time
	Fabric string
	Gap    *Gap // nil for an event

	Class, DN, Status, Origin string
	Severity                  string // of a fault, "" where not known
	Changes                   []Change
	Text                      string // what to say where there are no changes: a description or a name
}

// A Change is one attribute that got another value.
type Change struct{ Name, Old, New string }

// A Gap says that between two moments something was out of sight.
type Gap struct {
	Classes  []string
	From, To time.Time
	Reason   string
	Healed   bool
}

// NewFabric turns the state of a session into what the page shows of it.
func NewFabric(s *apic.Session) Fabric {
	return Fabric{
		Name: s.Name, State: string(s.State), Controller: s.Controller, Version: s.Version,
		ConnectedSince: s.ConnectedSince, LastProof: s.LastProof, LastError: s.LastError, NextTry: s.NextTry,
	}
}

// NewSubscription turns a subscription into what the page shows of it.
func NewSubscription(s *apic.Subscription) Subscription {
	return Subscription{
		ID: s.ID, Class: string(s.Query.Class), Fabric: s.Fabric, DN: string(s.Query.DN), Scope: string(s.Query.Scope),
		Filter: s.Query.Filter, Query: s.Query.String(), State: string(s.State), Error: s.Error,
		Objects: s.Objects, Events: s.Events, LastEventAt: s.LastEventAt, LastProof: s.LastProof,
	}
}

// NewEntry turns an entry of the timeline into what the page shows of it.
func NewEntry(e *apic.Entry) Entry {
	if g := e.Gap; g != nil {
		gap := &Gap{From: g.From, To: g.To, Reason: g.Reason, Healed: g.Healed}
		for _, c := range g.Classes {
			gap.Classes = append(gap.Classes, string(c))
		}
		return Entry{ID: int64(e.ID), Time: g.Time, Fabric: g.Fabric, Gap: gap}
	}
	v := e.Event
	known := v.Object
	if known.IsZero() {
		known = v.Attributes
	}
	out := Entry{
		ID: int64(e.ID), Time: v.Time, Fabric: v.Fabric,
		Class: string(v.Class), DN: string(v.DN), Status: string(v.Status), Origin: string(v.Origin),
		Severity: known.Get("severity"), Text: known.Get("descr"),
	}
	if out.Text == "" {
		out.Text = known.Get("name")
	}
	for _, c := range v.Changes {
		out.Changes = append(out.Changes, Change(c))
	}
	return out
}

// parent and rn split a DN for display: what an object is called matters more
// than where it hangs.
func parent(dn string) string {
	if p := string(apic.DN(dn).Parent()); p != "" {
		return p + "/"
	}
	return ""
}

func rn(dn string) string { return apic.DN(dn).RN() }

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("15:04:05.000")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

func count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// known returns s when it is one of the words, else "": only our own words
// become part of a class name in the markup.
func known(s string, words ...string) string {
	for _, w := range words {
		if s == w {
			return s
		}
	}
	return ""
}

func statusClass(s string) string { return "st " + known(s, "created", "modified", "deleted") }

func severityClass(s string) string {
	return "sev " + known(s, "critical", "major", "minor", "warning", "info", "cleared")
}

func stateClass(s string) string {
	return "state " + known(s, "connected", "connecting", "backoff", "failed", "active", "pending")
}

// says is what the state of a session means, in a few words.
func (f Fabric) says() string {
	switch f.State {
	case "connected":
		return "connected to " + f.Controller
	case "backoff":
		return "not connected"
	case "failed":
		return "refused"
	}
	return "connecting"
}

func (g *Gap) classes() string {
	switch n := len(g.Classes); {
	case n == 0:
		return "everything"
	case n > 4:
		return strings.Join(g.Classes[:3], ", ") + " and " + strconv.Itoa(n-3) + " more"
	}
	return strings.Join(g.Classes, ", ")
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func healed(b bool) string {
	if b {
		return "The state is whole again; what came and went in between is lost."
	}
	return "The state has not been compared yet."
}

// quoted shows an empty value as such: "" is a value too.
func quoted(s string) string {
	if s == "" {
		return `""`
	}
	return s
}
