// Package journaltest says what every [apic.Journal] must do, as tests. A new
// journal is ready when [Run] passes on it, under the race detector too.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/acitap/acitap/apic"
)

// A Subject is a kind of journal to be tested.
type Subject struct {
	// Open returns a new journal with nothing in it. What it opens is closed
	// with the test.
	Open func(t *testing.T) apic.Journal
	// Reopen ends a journal in order and returns it as the next process would
	// open it. Nil for a journal that keeps nothing.
	Reopen func(t *testing.T, j apic.Journal) apic.Journal
	// Forget makes the journal remove its entries up to an id, as its
	// retention does. Nil skips what needs it.
	Forget func(t *testing.T, j apic.Journal, upTo apic.ID)
}

// Run tests a kind of journal.
func Run(t *testing.T, s Subject) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"IDsGrow", idsGrow},
		{"EntriesComeBackWhole", entriesComeBackWhole},
		{"PlacesOfAnotherLogAreGone", placesOfAnotherLogAreGone},
		{"NarrowedReads", narrowedReads},
		{"ReadsStandStill", readsStandStill},
		{"LoopsMayCallTheJournal", loopsMayCallTheJournal},
		{"HistoryOfOneObject", historyOfOneObject},
		{"FirstAfter", firstAfter},
		{"Count", count},
		{"IDAt", idAt},
		{"ObjectsAreTheFold", objectsAreTheFold},
		{"PutAndDrop", putAndDrop},
		{"Subscriptions", subscriptions},
		{"Positions", positions},
		{"PositionsFromManySides", positionsFromManySides},
		{"CancelledAppendLeavesNothing", cancelledAppend},
		{"EmptyBatch", emptyBatch},
		{"Reopened", reopened},
		{"Retention", retention},
		{"RetentionLeavesTheObjects", retentionLeavesTheObjects},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
}

var start = time.Date(2026, 11, 24, 3, 42, 11, 123456000, time.UTC)

// A maker makes events, each a second after the one before.
type maker struct{ n int }

func (m *maker) time() time.Time {
	m.n++
	return start.Add(time.Duration(m.n) * time.Second)
}

func (m *maker) event(class apic.Class, dn apic.DN, status apic.Status, attrs ...string) apic.Entry {
	e := &apic.Event{Time: m.time(), Fabric: "default", Class: class, DN: dn, Status: status, Origin: apic.Live}
	e.Attributes = set(append([]string{"dn", string(dn), "status", string(status), "childAction", "", "rn", ""}, attrs...)...)
	if status != apic.Deleted {
		e.Object = set(append([]string{"dn", string(dn)}, attrs...)...)
	}
	return apic.Entry{Event: e}
}

func (m *maker) gap(classes ...apic.Class) apic.Entry {
	at := m.time()
	return apic.Entry{Gap: &apic.Gap{
		Time: at, Fabric: "default", Classes: classes, From: at.Add(-90 * time.Second), To: at, Reason: "connection", Healed: true,
	}}
}

func set(pairs ...string) apic.Attrs {
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return apic.AttrsMap(m)
}

// random returns events of a few tenants, nodes and classes as a fabric would
// send them, gaps among them.
func (m *maker) random(r *rand.Rand, n int) []apic.Entry {
	var list []apic.Entry
	for len(list) < n {
		var class apic.Class
		var dn apic.DN
		switch r.IntN(12) {
		case 0:
			class, dn = "fvTenant", apic.DN(fmt.Sprintf("uni/tn-t%d", r.IntN(5)))
		case 1, 2, 3:
			class, dn = "fvBD", apic.DN(fmt.Sprintf("uni/tn-t%d/BD-b%d", r.IntN(5), r.IntN(4)))
		case 4, 5:
			class, dn = "faultInst", apic.DN(fmt.Sprintf("uni/tn-t%d/BD-b%d/fault-F%04d", r.IntN(3), r.IntN(3), r.IntN(3)))
		case 6, 7:
			class, dn = "faultInst", apic.DN(fmt.Sprintf("topology/pod-1/node-%d/sys/fault-F%04d", 101+r.IntN(4), r.IntN(3)))
		case 8, 9:
			class, dn = "l1PhysIf", apic.DN(fmt.Sprintf("topology/pod-1/node-%d/sys/phys-[eth1/%d]", 101+r.IntN(4), r.IntN(6)))
		case 10:
			class = "fvRsPathAtt"
			dn = apic.DN(fmt.Sprintf("uni/tn-t%d/ap-a/epg-e/rspathAtt-[topology/pod-1/paths-%d/pathep-[eth1/1]]", r.IntN(3), 101+r.IntN(4)))
		case 11:
			list = append(list, m.gap([][]apic.Class{nil, {"fvBD"}, {"faultInfo"}, {"fvTenant", "l1PhysIf"}}[r.IntN(4)]...))
			continue
		}
		e := m.event(class, dn, []apic.Status{apic.Created, apic.Modified, apic.Modified, apic.Deleted}[r.IntN(4)],
			"name", fmt.Sprintf("n%d", r.IntN(3)), "descr", strings.Repeat("d", r.IntN(30)))
		e.Event.Origin = []apic.Origin{apic.Live, apic.Live, apic.Snapshot, apic.Resync}[r.IntN(4)]
		if r.IntN(5) == 0 {
			e.Event.Fabric = "dr"
		}
		switch r.IntN(6) {
		case 0: // the object is not known
			e.Event.Object = apic.Attrs{}
		case 1:
			e.Event.Object = set("dn", string(dn), "name", "x", "lcC", "")
			if e.Event.Status == apic.Modified {
				e.Event.Changes = []apic.Change{{Name: "name", Old: "a \"quoted\" one", New: "x"}, {Name: "lcC", Old: "ü", New: ""}}
			}
		}
		list = append(list, e)
	}
	return list
}

var compare = cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b apic.Attrs) bool { return a == b })}

func mustAppend(t *testing.T, j apic.Journal, b *apic.Batch) []*apic.Entry {
	t.Helper()
	list, err := j.Append(t.Context(), b)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if len(list) != len(b.Entries) {
		t.Fatalf("Append of %d entries returned %d", len(b.Entries), len(list))
	}
	return list
}

func mustAppendAll(t *testing.T, j apic.Journal, entries []apic.Entry, batch int) []*apic.Entry {
	t.Helper()
	var all []*apic.Entry
	for part := range slices.Chunk(entries, batch) {
		all = append(all, mustAppend(t, j, &apic.Batch{Entries: part})...)
	}
	return all
}

func read(t *testing.T, j apic.Journal, r apic.Range) ([]*apic.Entry, error) {
	t.Helper()
	var list []*apic.Entry
	for e, err := range j.Read(t.Context(), r) {
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
	return list, nil
}

func mustRead(t *testing.T, j apic.Journal, r apic.Range) []*apic.Entry {
	t.Helper()
	list, err := read(t, j, r)
	if err != nil {
		t.Fatalf("Read(%+v): %v", r, err)
	}
	return list
}

func same(t *testing.T, what string, got, want []*apic.Entry) {
	t.Helper()
	if !slices.Equal(ids(want), ids(got)) {
		diff := cmp.Diff(ids(want), ids(got))
		t.Fatalf("%s: ids (-want +got):\n%s", what, diff)
	}
	for i := range want {
		if !equal(got[i], want[i]) {
			t.Fatalf("%s (-want +got):\n%s", what, cmp.Diff(want[i], got[i], compare))
		}
	}
}

// equal is what cmp.Equal would say, in a hundredth of its time.
func equal(a, b *apic.Entry) bool {
	if a.ID != b.ID || string(a.JSON) != string(b.JSON) || (a.Event == nil) != (b.Event == nil) || (a.Gap == nil) != (b.Gap == nil) {
		return false
	}
	if a.Gap != nil {
		g, h := *a.Gap, *b.Gap
		return g.Time.Equal(h.Time) && g.From.Equal(h.From) && g.To.Equal(h.To) && g.Fabric == h.Fabric &&
			g.Reason == h.Reason && g.Healed == h.Healed && slices.Equal(g.Classes, h.Classes)
	}
	v, w := a.Event, b.Event
	return v.Time.Equal(w.Time) && v.Fabric == w.Fabric && v.Class == w.Class && v.DN == w.DN && v.Status == w.Status && v.Origin == w.Origin &&
		v.Attributes == w.Attributes && v.Object == w.Object && slices.Equal(v.Changes, w.Changes)
}

func ids(list []*apic.Entry) []apic.ID {
	out := make([]apic.ID, len(list))
	for i, e := range list {
		out[i] = e.ID
	}
	return out
}

func load(t *testing.T, j apic.Journal) (*apic.Saved, map[apic.ObjectKey]apic.Object) {
	t.Helper()
	s, err := j.Load(t.Context())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	objects := make(map[apic.ObjectKey]apic.Object)
	for o, err := range s.Objects {
		if err != nil {
			t.Fatalf("Load: objects: %v", err)
		}
		k := apic.ObjectKey{Fabric: o.Fabric, DN: o.DN}
		if _, twice := objects[k]; twice {
			t.Errorf("Load yields %v twice", k)
		}
		objects[k] = o
	}
	return s, objects
}

func idsGrow(t *testing.T, s Subject) {
	j := s.Open(t)
	b := j.Bounds()
	if b.Origin <= 0 || b.Floor != b.Origin || b.Newest != b.Origin {
		t.Fatalf("bounds of a new log are %+v, want all three the same and above 0", b)
	}
	var m maker
	last := b.Origin
	for i := range 20 {
		for _, e := range mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(1, uint64(i))), 1+i*3)}) {
			if e.ID <= last {
				t.Fatalf("id %d follows %d", e.ID, last)
			}
			last = e.ID
			if prefix := fmt.Sprintf(`{"id":%d,`, e.ID); !strings.HasPrefix(string(e.JSON), prefix) {
				t.Fatalf("JSON is %.60s, want it to begin with %s", e.JSON, prefix)
			}
		}
		if got := j.Bounds().Newest; got != last {
			t.Fatalf("newest is %d after an append that ended with %d", got, last)
		}
	}
}

func entriesComeBackWhole(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	odd := m.event("fvTenant", `uni/tn-"odd" ü\[x]`, apic.Modified, "name", "line\nbreak \"quoted\" \\ \u2028 ü 💡", "empty", "", "<&>", "</script>")
	odd.Event.Fabric = `fab "ric"`
	odd.Event.Changes = []apic.Change{{Name: "name", Old: "\t", New: "line\nbreak"}, {Name: "gone", Old: "x"}, {Name: "came", New: "y"}}
	noChanges := m.event("fvTenant", "uni/tn-a", apic.Modified, "name", "a")
	noChanges.Event.Changes = []apic.Change{}
	unknown := m.event("fvTenant", "uni/tn-b", apic.Modified, "name", "a")
	unknown.Event.Object = apic.Attrs{}
	whole := m.event("fvTenant", "uni/tn-c", apic.Created, "name", "c")
	whole.Event.Object = whole.Event.Attributes
	gone := m.event("fvTenant", "uni/tn-c", apic.Deleted)
	gone.Event.Object = set("dn", "uni/tn-c", "name", "c", "descr", strings.Repeat("long ", 4000))
	bare := m.event("fvTenant", "uni/tn-d", apic.Created)
	bare.Event.Attributes, bare.Event.Object = apic.Attrs{}, apic.Attrs{}
	strange := m.event("x", "y", "replaced", "a", "b")
	strange.Event.Origin = "elsewhere"
	gap := m.gap("fvTenant", `odd"class`)
	gap.Gap.Reason, gap.Gap.Healed = `a "reason"`, false
	entries := append([]apic.Entry{odd, noChanges, unknown, whole, gone, bare, strange, gap, m.gap()},
		m.random(rand.New(rand.NewPCG(2, 2)), 300)...)
	want := mustAppend(t, j, &apic.Batch{Entries: entries})
	got := mustRead(t, j, apic.Range{After: j.Bounds().Floor})
	same(t, "what was appended", got, want)
	if got[1].Event.Changes == nil || got[2].Event.Changes != nil {
		t.Errorf("changes that are empty and changes that are not known are not told apart: %#v, %#v", got[1].Event.Changes, got[2].Event.Changes)
	}
}

func placesOfAnotherLogAreGone(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(3, 3)), 10)})
	b := j.Bounds()
	for _, after := range []apic.ID{0, 5, b.Origin - 1, b.Newest + 1, apic.MaxID} {
		for _, desc := range []bool{false, true} {
			list, err := read(t, j, apic.Range{After: after, Desc: desc})
			var gone *apic.GoneError
			if !errors.As(err, &gone) || !errors.Is(err, apic.ErrGone) {
				t.Fatalf("Read after %d: error %v, want a GoneError", after, err)
			}
			if gone.Reason != "unknown-id" || gone.Asked != after || gone.Oldest != b.Floor+1 || len(list) != 0 {
				t.Errorf("Read after %d: %+v and %d entries", after, gone, len(list))
			}
		}
		if _, err := j.Count(t.Context(), "fvBD", after, 0); !errors.Is(err, apic.ErrGone) {
			t.Errorf("Count after %d: error %v, want a GoneError", after, err)
		}
		for _, err := range j.FirstAfter(t.Context(), after, apic.Narrow{}) {
			if !errors.Is(err, apic.ErrGone) {
				t.Errorf("FirstAfter(%d): error %v, want a GoneError", after, err)
			}
		}
	}
	if got := mustRead(t, j, apic.Range{After: b.Newest}); len(got) != 0 {
		t.Errorf("after the newest there are %v", ids(got))
	}
	if got := mustRead(t, j, apic.Range{After: b.Floor, Until: b.Newest + 1000}); len(got) != 10 {
		t.Errorf("up to far behind the newest there are %d entries, want 10", len(got))
	}
}

// narrows are ways to ask, alone and combined.
func narrows() []apic.Narrow {
	var below []apic.DN
	for i := range 40 {
		below = append(below, apic.DN(fmt.Sprintf("uni/tn-none%d", i)))
	}
	return []apic.Narrow{
		{},
		{Kinds: apic.EventsOnly},
		{Kinds: apic.GapsOnly},
		{Classes: []apic.Class{"fvBD"}},
		{Classes: []apic.Class{"fvBD"}, Kinds: apic.EventsOnly},
		{Classes: []apic.Class{"faultInst", "l1PhysIf", "never"}},
		{Classes: []apic.Class{"never"}},
		{Classes: []apic.Class{"never"}, Kinds: apic.EventsOnly},
		{Classes: []apic.Class{"faultInst"}, Kinds: apic.GapsOnly},
		{DNs: []apic.DN{"uni/tn-t1"}},
		{DNs: []apic.DN{"uni/tn-t1", "uni/tn-t2/BD-b1", "uni/tn-never"}, Kinds: apic.EventsOnly},
		{DNs: []apic.DN{"uni/tn-never"}, Kinds: apic.EventsOnly},
		{Below: []apic.DN{"uni/tn-t1"}},
		{Below: []apic.DN{"uni/tn-t1/BD-b1", "topology/pod-1/node-102"}, Kinds: apic.EventsOnly},
		{Below: []apic.DN{"uni"}, Kinds: apic.EventsOnly},
		{Below: append(below, "uni/tn-t2"), DNs: []apic.DN{"uni/tn-t3"}, Kinds: apic.EventsOnly},
		{Below: []apic.DN{"topology/pod-1/node-101/sys/phys-[eth1"}},
		{Statuses: []apic.Status{apic.Deleted}},
		{Statuses: []apic.Status{apic.Created, apic.Modified}, Origins: []apic.Origin{apic.Resync}, Kinds: apic.EventsOnly},
		{Origins: []apic.Origin{"nowhere"}},
		{Fabrics: []string{"dr"}},
		{Fabrics: []string{"nowhere"}},
		{Tenants: []string{"t1"}},
		{Tenants: []string{"t1", "t2"}, Classes: []apic.Class{"faultInst"}, Kinds: apic.EventsOnly},
		{Tenants: []string{"never"}, Kinds: apic.EventsOnly},
		{Nodes: []string{"101", "103"}, Kinds: apic.EventsOnly},
		{Nodes: []string{"101"}, Tenants: []string{"t1"}, Kinds: apic.EventsOnly},
		{Nodes: []string{"102"}, Classes: []apic.Class{"faultInst", "fvRsPathAtt"}, Statuses: []apic.Status{apic.Modified}},
		{Below: []apic.DN{"uni/tn-t1"}, Classes: []apic.Class{"fvBD"}, Fabrics: []string{"default"}, Tenants: []string{"t1"}, Kinds: apic.EventsOnly},
	}
}

func narrowedReads(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	all := mustAppendAll(t, j, m.random(rand.New(rand.NewPCG(4, 4)), 1100), 211)
	r := rand.New(rand.NewPCG(5, 5))
	floor := j.Bounds().Floor
	for i, n := range narrows() {
		for try := range 4 {
			rg := apic.Range{After: floor, Narrow: n, Desc: try%2 == 1}
			if try >= 2 {
				rg.After = floor + apic.ID(r.IntN(1100))
				if r.IntN(2) == 0 {
					rg.Until = floor + apic.ID(r.IntN(1100)) // may lie before After
				}
				if r.IntN(2) == 0 {
					rg.Limit = 1 + r.IntN(800)
				}
			}
			var want []*apic.Entry
			for _, e := range all {
				if e.ID > rg.After && (rg.Until == 0 || e.ID <= rg.Until) && n.Admits(e) {
					want = append(want, e)
				}
			}
			if rg.Desc {
				slices.Reverse(want)
			}
			if rg.Limit > 0 && len(want) > rg.Limit {
				want = want[:rg.Limit]
			}
			same(t, fmt.Sprintf("narrow %d: %+v", i, rg), mustRead(t, j, rg), want)
		}
	}
}

func readsStandStill(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	want := mustAppendAll(t, j, m.random(rand.New(rand.NewPCG(6, 6)), 1500), 500)
	for _, desc := range []bool{false, true} {
		var got []*apic.Entry
		for e, err := range j.Read(t.Context(), apic.Range{After: j.Bounds().Origin, Until: want[len(want)-1].ID, Desc: desc}) {
			if err != nil {
				t.Fatal(err)
			}
			if len(got)%400 == 0 {
				mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(7, 7)), 50)})
			}
			got = append(got, e)
		}
		if desc {
			slices.Reverse(got)
		}
		same(t, "a read during which more is appended", got, want)
	}
	// Without an end, it ends where the log did when it began.
	n, newest := 0, j.Bounds().Newest
	for e, err := range j.Read(t.Context(), apic.Range{After: j.Bounds().Origin}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.ID > newest {
			t.Fatalf("yields %d, which was appended after it began", e.ID)
		}
		if n++; n%100 == 0 {
			mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(8, 8)), 10)})
		}
	}
	// It may be left early, and begun again.
	seq := j.Read(t.Context(), apic.Range{After: newest - 10, Until: newest})
	for range 2 {
		for e, err := range seq {
			if err != nil || e.ID != newest-9 {
				t.Fatalf("begins with %v, %v", e, err)
			}
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range j.Read(ctx, apic.Range{After: j.Bounds().Origin}) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("a read whose context has ended ends with %v", last)
	}
}

func loopsMayCallTheJournal(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(9, 9)), 20)})
	ctx := t.Context()
	// Deeper than any pool of readers.
	var nest func(depth int)
	nest = func(depth int) {
		for e, err := range j.Read(ctx, apic.Range{After: j.Bounds().Origin, Limit: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			if depth > 0 {
				nest(depth - 1)
			}
			mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(10, 10)), 1)})
			if err := j.SavePosition(ctx, apic.Position{PositionKey: apic.PositionKey{Class: "fvBD"}, At: e.ID}); err != nil {
				t.Fatal(err)
			}
			if _, err := j.Count(ctx, "fvBD", e.ID, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	nest(20)
}

func historyOfOneObject(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	var entries []apic.Entry
	r := rand.New(rand.NewPCG(11, 11))
	for i := range 3000 {
		dn := apic.DN("uni/tn-hot")
		if r.IntN(3) == 0 {
			dn = apic.DN(fmt.Sprintf("uni/tn-c%d", r.IntN(400)))
		}
		entries = append(entries, m.event("fvTenant", dn, apic.Modified, "descr", fmt.Sprint(i)))
	}
	all := mustAppendAll(t, j, entries, 97)
	for _, n := range []apic.Narrow{
		{DNs: []apic.DN{"uni/tn-hot"}, Kinds: apic.EventsOnly},
		{DNs: []apic.DN{"uni/tn-c7", "uni/tn-hot"}, Kinds: apic.EventsOnly},
		{Below: []apic.DN{"uni"}, Kinds: apic.EventsOnly},
	} {
		var want []*apic.Entry
		for _, e := range all {
			if n.Admits(e) {
				want = append(want, e)
			}
		}
		// As a caller turns the pages.
		var got []*apic.Entry
		for at := j.Bounds().Floor; ; {
			page := mustRead(t, j, apic.Range{After: at, Narrow: n, Limit: 130})
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			at = page[len(page)-1].ID
		}
		same(t, "oldest first", got, want)
		got = nil
		for until := j.Bounds().Newest; ; {
			page := mustRead(t, j, apic.Range{After: j.Bounds().Floor, Until: until, Narrow: n, Limit: 130, Desc: true})
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			until = page[len(page)-1].ID - 1
		}
		slices.Reverse(got)
		same(t, "newest first", got, want)
	}
}

func firstAfter(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	all := mustAppendAll(t, j, m.random(rand.New(rand.NewPCG(12, 12)), 2000), 300)
	for _, after := range []apic.ID{j.Bounds().Floor, all[777].ID, j.Bounds().Newest} {
		for i, n := range narrows() {
			want := make(map[apic.ObjectKey]*apic.Entry)
			for _, e := range all {
				if e.Event == nil || e.ID <= after || n.Kinds == apic.GapsOnly {
					continue
				}
				k := apic.ObjectKey{Fabric: e.Event.Fabric, DN: e.Event.DN}
				if want[k] == nil && n.Admits(e) {
					want[k] = e
				}
			}
			if n.Kinds == apic.GapsOnly {
				continue // there is no such question
			}
			got := make(map[apic.ObjectKey]*apic.Entry)
			for e, err := range j.FirstAfter(t.Context(), after, n) {
				if err != nil {
					t.Fatal(err)
				}
				got[apic.ObjectKey{Fabric: e.Event.Fabric, DN: e.Event.DN}] = e
			}
			if len(got) != len(want) {
				t.Fatalf("narrow %d after %d: %d objects, want %d", i, after, len(got), len(want))
			}
			for k, e := range want {
				if got[k] == nil || !equal(got[k], e) {
					t.Fatalf("narrow %d after %d: %v (-want +got):\n%s", i, after, k, cmp.Diff(e, got[k], compare))
				}
			}
		}
	}
}

func count(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	all := mustAppendAll(t, j, m.random(rand.New(rand.NewPCG(13, 13)), 500), 33)
	r := rand.New(rand.NewPCG(14, 14))
	for range 200 {
		after := j.Bounds().Floor + apic.ID(r.IntN(501))
		until := j.Bounds().Floor + apic.ID(r.IntN(520))
		if r.IntN(3) == 0 {
			until = 0
		}
		class := []apic.Class{"fvBD", "faultInst", "fvTenant", "never"}[r.IntN(4)]
		var want int64
		for _, e := range all {
			if e.Event != nil && e.Event.Class == class && e.ID > after && (until == 0 || e.ID <= until) {
				want++
			}
		}
		got, err := j.Count(t.Context(), class, after, until)
		if err != nil || got != want {
			t.Fatalf("Count(%s, %d, %d) = %d, %v, want %d", class, after, until, got, err, want)
		}
	}
}

func idAt(t *testing.T, s Subject) {
	j := s.Open(t)
	ctx := t.Context()
	if got, err := j.IDAt(ctx, start); err != nil || got != j.Bounds().Floor {
		t.Errorf("IDAt of an empty log is %d, %v, want its floor", got, err)
	}
	var m maker
	all := mustAppendAll(t, j, m.random(rand.New(rand.NewPCG(15, 15)), 100), 7)
	at := func(when time.Time) apic.ID {
		t.Helper()
		id, err := j.IDAt(ctx, when)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for i, e := range all {
		before := j.Bounds().Floor
		if i > 0 {
			before = all[i-1].ID
		}
		if got := at(e.Time()); !reflect.DeepEqual(got, before) {
			t.Errorf("IDAt of the time of %d is %d, want the one before it, %d", e.ID, got, before)
		}
		if got := at(e.Time().Add(time.Microsecond)); got != e.ID {
			t.Errorf("IDAt of just after %d is %d", e.ID, got)
		}
	}
	if got := at(start.Add(24 * time.Hour)); got != j.Bounds().Newest {
		t.Errorf("IDAt of the future is %d, want the newest", got)
	}
}

// A fold is what the objects must be.
type fold map[apic.ObjectKey]apic.Object

func (f fold) add(list []*apic.Entry) {
	for _, e := range list {
		v := e.Event
		if v == nil {
			continue
		}
		k := apic.ObjectKey{Fabric: v.Fabric, DN: v.DN}
		o, known := f[k]
		switch {
		case v.Status == apic.Deleted:
			delete(f, k)
			continue
		case !v.Object.IsZero():
			o = apic.Object{Fabric: v.Fabric, Class: v.Class, DN: v.DN, Attrs: v.Object}
		case !known:
			continue
		}
		o.Last = e.ID
		f[k] = o
	}
}

func (f fold) check(t *testing.T, what string, j apic.Journal) {
	t.Helper()
	_, got := load(t, j)
	if diff := cmp.Diff(map[apic.ObjectKey]apic.Object(f), got, compare); diff != "" {
		t.Fatalf("%s: objects (-want +got):\n%s", what, diff)
	}
}

func objectsAreTheFold(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	f := make(fold)
	for i := range 40 {
		f.add(mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(16, uint64(i))), 1+i*4)}))
		if i%8 == 7 {
			f.check(t, fmt.Sprintf("after %d batches", i+1), j)
		}
		if i == 20 && s.Reopen != nil {
			j = s.Reopen(t, j)
			f.check(t, "reopened", j)
		}
	}
}

func putAndDrop(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	f := make(fold)
	put := func(o apic.Object) apic.Object {
		f[apic.ObjectKey{Fabric: o.Fabric, DN: o.DN}] = o
		return o
	}
	key := func(dn apic.DN) apic.ObjectKey {
		delete(f, apic.ObjectKey{Fabric: "default", DN: dn})
		return apic.ObjectKey{Fabric: "default", DN: dn}
	}
	object := func(dn apic.DN, name string) apic.Object {
		return apic.Object{Fabric: "default", Class: "fvTenant", DN: dn, Attrs: set("dn", string(dn), "name", name)}
	}
	mustAppend(t, j, &apic.Batch{Put: []apic.Object{put(object("uni/tn-a", "1")), put(object("uni/tn-b", "1")), put(object("uni/tn-c", "1"))}})
	f.check(t, "put", j)
	// They are carried out after the entries.
	list := mustAppend(t, j, &apic.Batch{
		Entries: []apic.Entry{
			m.event("fvTenant", "uni/tn-a", apic.Modified, "name", "2"),
			m.event("fvTenant", "uni/tn-b", apic.Modified, "name", "2"),
			m.event("fvTenant", "uni/tn-d", apic.Created, "name", "2"),
			m.event("fvTenant", "uni/tn-e", apic.Created, "name", "2"),
		},
	})
	f.add(list)
	f.check(t, "events on what was put", j)
	b := apic.Batch{Entries: []apic.Entry{
		m.event("fvTenant", "uni/tn-a", apic.Modified, "name", "3"),
		m.event("fvTenant", "uni/tn-f", apic.Created, "name", "3"),
	}}
	o := object("uni/tn-a", "put over it")
	o.Last = list[0].ID
	b.Put = append(b.Put, put(o))
	b.Drop = append(b.Drop, key("uni/tn-f"), key("uni/tn-c"), key("uni/tn-d"), key("uni/tn-never"))
	mustAppend(t, j, &b)
	f.check(t, "put and drop after entries", j)
	// What was dropped can come again, and what is not known whole is not made up.
	unknown := m.event("fvTenant", "uni/tn-a", apic.Modified, "descr", "x")
	unknown.Event.Object = apic.Attrs{}
	stranger := m.event("fvTenant", "uni/tn-c", apic.Modified, "descr", "x")
	stranger.Event.Object = apic.Attrs{}
	twice := m.event("fvTenant", "uni/tn-e", apic.Modified, "descr", "x")
	twice.Event.Object = apic.Attrs{}
	f.add(mustAppend(t, j, &apic.Batch{Entries: []apic.Entry{
		unknown, stranger, twice, twice, m.event("fvTenant", "uni/tn-d", apic.Created, "name", "again"), m.event("fvTenant", "uni/tn-b", apic.Deleted),
	}}))
	f.check(t, "once more", j)
	if s.Reopen != nil {
		j = s.Reopen(t, j)
		f.check(t, "reopened", j)
	}
	var drop []apic.ObjectKey
	for k := range f {
		drop = append(drop, k)
	}
	mustAppend(t, j, &apic.Batch{Drop: drop})
	fold{}.check(t, "all dropped", j)
}

func subscriptions(t *testing.T, s Subject) {
	j := s.Open(t)
	q, err := apic.NewQuery("fvBD", "uni/tn-prod", apic.ScopeSubtree, `eq(fvBD.name,"x")`)
	if err != nil {
		t.Fatal(err)
	}
	one := apic.Subscription{ID: "one", Fabric: "default", Query: q, OnlyNew: true, CreatedAt: start, Begun: true, ProvenAt: start.Add(time.Hour)}
	two := apic.Subscription{ID: "two", Fabric: "default", Query: apic.Query{Class: "fvTenant", Scope: apic.ScopeSelf}}
	check := func(what string, want ...apic.Subscription) {
		t.Helper()
		saved, _ := load(t, j)
		slices.SortFunc(saved.Subscriptions, func(a, b apic.Subscription) int { return strings.Compare(a.ID, b.ID) })
		if diff := cmp.Diff(want, saved.Subscriptions, compare); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("none")
	running := two // what describes the running process need not be kept
	running.State, running.Events = apic.Active, 7
	mustAppend(t, j, &apic.Batch{Subscriptions: []apic.Subscription{one, running}})
	saved, _ := load(t, j)
	if len(saved.Subscriptions) != 2 {
		t.Fatalf("%d subscriptions are kept, want 2", len(saved.Subscriptions))
	}
	two.Begun = true
	mustAppend(t, j, &apic.Batch{Subscriptions: []apic.Subscription{two}})
	check("changed", one, two)
	if s.Reopen != nil {
		j = s.Reopen(t, j)
		check("reopened", one, two)
	}
	mustAppend(t, j, &apic.Batch{Unsubscribe: []string{"one", "never"}})
	check("one less", two)
}

func positions(t *testing.T, s Subject) {
	j := s.Open(t)
	ctx := t.Context()
	check := func(what string, want ...apic.Position) {
		t.Helper()
		saved, _ := load(t, j)
		sortPositions(saved.Positions)
		sortPositions(want)
		if diff := cmp.Diff(want, saved.Positions, compare); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
	p := func(class apic.Class, consumer string, at apic.ID) apic.Position {
		return apic.Position{PositionKey: apic.PositionKey{Class: class, Consumer: consumer}, At: at, Taken: int64(at) / 2, UpdatedAt: start.Add(time.Duration(at))}
	}
	for i := range 3 {
		for _, x := range []apic.Position{p("fvBD", "", apic.ID(1000*i)), p("fvBD", "me", 2000), p("", "hook", 3000)} {
			if err := j.SavePosition(ctx, x); err != nil {
				t.Fatal(err)
			}
		}
	}
	check("saved", p("fvBD", "", 2000), p("fvBD", "me", 2000), p("", "hook", 3000))
	mustAppend(t, j, &apic.Batch{Positions: []apic.Position{p("fvBD", "me", 4000), p("fvTenant", "", 5000)}, Forget: []apic.PositionKey{{Class: "", Consumer: "hook"}}})
	check("with a batch", p("fvBD", "", 2000), p("fvBD", "me", 4000), p("fvTenant", "", 5000))
	for range 2 {
		if err := j.DeletePosition(ctx, apic.PositionKey{Class: "fvBD", Consumer: "me"}); err != nil {
			t.Fatal(err)
		}
	}
	check("deleted", p("fvBD", "", 2000), p("fvTenant", "", 5000))
	if s.Reopen != nil {
		j = s.Reopen(t, j)
		check("reopened", p("fvBD", "", 2000), p("fvTenant", "", 5000))
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := j.SavePosition(cancelled, p("fvBD", "", 9000)); !errors.Is(err, context.Canceled) {
		t.Errorf("SavePosition with a context that has ended: %v", err)
	}
	check("a save that was called off", p("fvBD", "", 2000), p("fvTenant", "", 5000))
}

func sortPositions(list []apic.Position) {
	slices.SortFunc(list, func(a, b apic.Position) int {
		return strings.Compare(string(a.Class)+"\x00"+a.Consumer, string(b.Class)+"\x00"+b.Consumer)
	})
}

func positionsFromManySides(t *testing.T, s Subject) {
	j := s.Open(t)
	ctx := t.Context()
	const readers, rounds = 16, 40
	var m maker
	var wg sync.WaitGroup
	for i := range readers {
		key := apic.PositionKey{Class: "fvBD", Consumer: fmt.Sprint("c", i)}
		wg.Go(func() {
			for at := range apic.ID(rounds) {
				if err := j.SavePosition(ctx, apic.Position{PositionKey: key, At: at + 1}); err != nil {
					t.Errorf("SavePosition: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 30 {
			if _, err := j.Append(ctx, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(17, uint64(i))), 20)}); err != nil {
				t.Errorf("Append: %v", err)
			}
		}
	})
	wg.Go(func() {
		for range 20 {
			b := j.Bounds()
			n := 0
			for e, err := range j.Read(ctx, apic.Range{After: b.Origin}) {
				if err != nil {
					t.Errorf("Read: %v", err)
					return
				}
				if n++; e.ID != b.Origin+apic.ID(n) {
					t.Errorf("entry %d has id %d", n, e.ID)
				}
			}
		}
	})
	wg.Wait()
	saved, _ := load(t, j)
	if len(saved.Positions) != readers {
		t.Fatalf("%d positions are kept, want %d", len(saved.Positions), readers)
	}
	for _, p := range saved.Positions {
		if p.At != rounds {
			t.Errorf("%s is at %d, want %d", p.Consumer, p.At, rounds)
		}
	}
}

func cancelledAppend(t *testing.T, s Subject) {
	j := s.Open(t)
	var m maker
	mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(18, 18)), 5)})
	before := j.Bounds()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Append(ctx, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(19, 19)), 5)}); err == nil {
		t.Fatal("Append with a context that has ended succeeds")
	}
	if _, err := j.Append(t.Context(), &apic.Batch{Entries: append(m.random(rand.New(rand.NewPCG(19, 19)), 5), apic.Entry{})}); err == nil {
		t.Fatal("Append of an entry that is neither event nor gap succeeds")
	}
	if got := j.Bounds(); !reflect.DeepEqual(got, before) {
		t.Errorf("it left bounds %+v, want %+v", got, before)
	}
	if got := mustRead(t, j, apic.Range{After: before.Floor}); len(got) != 5 {
		t.Errorf("it left %d entries, want 5", len(got))
	}
}

func emptyBatch(t *testing.T, s Subject) {
	j := s.Open(t)
	before := j.Bounds()
	mustAppend(t, j, &apic.Batch{})
	if got := j.Bounds(); !reflect.DeepEqual(got, before) {
		t.Errorf("bounds went from %+v to %+v", before, got)
	}
}

func reopened(t *testing.T, s Subject) {
	if s.Reopen == nil {
		t.Skip("this journal keeps nothing")
	}
	j := s.Open(t)
	var m maker
	origin := j.Bounds().Origin
	var all []*apic.Entry
	for i := range 4 {
		before := j.Bounds()
		j = s.Reopen(t, j)
		if got := j.Bounds(); !reflect.DeepEqual(got, before) {
			t.Fatalf("reopened with bounds %+v, want %+v", got, before)
		}
		all = append(all, mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(20, uint64(i))), 40)})...)
		for k := 1; k < len(all); k++ {
			if all[k].ID <= all[k-1].ID {
				t.Fatalf("id %d follows %d", all[k].ID, all[k-1].ID)
			}
		}
	}
	same(t, "reopened", mustRead(t, j, apic.Range{After: origin}), all)
}

func retention(t *testing.T, s Subject) {
	if s.Forget == nil {
		t.Skip("this journal has no retention")
	}
	j := s.Open(t)
	var m maker
	all := mustAppendAll(t, j, m.random(rand.New(rand.NewPCG(21, 21)), 1000), 100)
	origin := j.Bounds().Origin
	s.Forget(t, j, all[599].ID)
	check := func() {
		t.Helper()
		b := j.Bounds()
		if b.Origin != origin || b.Floor != all[599].ID || b.Newest != all[len(all)-1].ID {
			t.Fatalf("bounds are %+v", b)
		}
		_, err := read(t, j, apic.Range{After: all[598].ID})
		var gone *apic.GoneError
		if !errors.As(err, &gone) || gone.Reason != "retention" || gone.Oldest != b.Floor+1 {
			t.Fatalf("Read of what is gone: %v", err)
		}
		if _, err := j.Count(t.Context(), "fvBD", all[0].ID, 0); !errors.Is(err, apic.ErrGone) {
			t.Errorf("Count of what is gone: %v", err)
		}
		if id, err := j.IDAt(t.Context(), all[300].Time()); err != nil || id != b.Floor {
			t.Errorf("IDAt of what is gone is %d, %v, want the floor", id, err)
		}
		for i, n := range narrows() {
			var want []*apic.Entry
			var bds int64
			for _, e := range all[600:] {
				if n.Admits(e) {
					want = append(want, e)
				}
				if e.Event != nil && e.Event.Class == "fvBD" {
					bds++
				}
			}
			same(t, fmt.Sprintf("narrow %d", i), mustRead(t, j, apic.Range{After: b.Floor, Narrow: n}), want)
			slices.Reverse(want)
			same(t, fmt.Sprintf("narrow %d, newest first", i), mustRead(t, j, apic.Range{After: b.Floor, Narrow: n, Desc: true}), want)
			if got, err := j.Count(t.Context(), "fvBD", b.Floor, 0); err != nil || got != bds {
				t.Errorf("Count is %d, %v, want %d", got, err, bds)
			}
		}
	}
	check()
	all = append(all, mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(22, 22)), 50)})...)
	check()
	if s.Reopen != nil {
		j = s.Reopen(t, j)
		check()
	}
	// A read that retention overtakes does not go on as if nothing were.
	n := 0
	for e, err := range j.Read(t.Context(), apic.Range{After: j.Bounds().Floor}) {
		if err != nil {
			if !errors.Is(err, apic.ErrGone) {
				t.Fatal(err)
			}
			break
		}
		if e.ID != all[600+n].ID {
			t.Fatalf("entry %d of a read beside retention has id %d, want %d", n, e.ID, all[600+n].ID)
		}
		if n++; n == 3 {
			s.Forget(t, j, all[900].ID)
		}
	}
	// All of it.
	newest := j.Bounds().Newest
	s.Forget(t, j, newest)
	if b := j.Bounds(); b.Floor != newest || b.Newest != newest {
		t.Fatalf("bounds of a log that has lost all are %+v", b)
	}
	if got := mustRead(t, j, apic.Range{After: newest}); len(got) != 0 {
		t.Errorf("a log that has lost all holds %v", ids(got))
	}
	if s.Reopen != nil {
		j = s.Reopen(t, j)
	}
	for _, e := range mustAppend(t, j, &apic.Batch{Entries: m.random(rand.New(rand.NewPCG(23, 23)), 5)}) {
		if e.ID <= newest {
			t.Errorf("id %d is given after %d", e.ID, newest)
		}
	}
}

func retentionLeavesTheObjects(t *testing.T, s Subject) {
	if s.Forget == nil {
		t.Skip("this journal has no retention")
	}
	j := s.Open(t)
	var m maker
	f := make(fold)
	for i := range 30 {
		r := rand.New(rand.NewPCG(24, uint64(i)))
		b := apic.Batch{Entries: m.random(r, 60)}
		if i%5 == 4 {
			o := apic.Object{Fabric: "default", Class: "fvTenant", DN: apic.DN(fmt.Sprintf("uni/tn-t%d", r.IntN(5))), Attrs: set("name", "put")}
			b.Put = append(b.Put, o)
		}
		list := mustAppend(t, j, &b)
		f.add(list)
		for _, o := range b.Put {
			f[apic.ObjectKey{Fabric: o.Fabric, DN: o.DN}] = o
		}
		f.check(t, fmt.Sprintf("batch %d", i), j)
		if r.IntN(2) == 0 {
			to := list[r.IntN(len(list))].ID
			s.Forget(t, j, to)
			f.check(t, fmt.Sprintf("batch %d, all up to %d gone", i, to), j)
		}
		if i%10 == 9 && s.Reopen != nil {
			j = s.Reopen(t, j)
			f.check(t, fmt.Sprintf("batch %d reopened", i), j)
		}
	}
	s.Forget(t, j, j.Bounds().Newest)
	f.check(t, "no entry left", j)
	var drop []apic.ObjectKey
	for k := range f {
		drop = append(drop, k)
	}
	mustAppend(t, j, &apic.Batch{Drop: drop})
	fold{}.check(t, "all dropped", j)
}
