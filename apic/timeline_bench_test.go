package apic

import (
	"context"
	"fmt"
	"testing"
)

// A sealer is a journal that keeps nothing.
type sealer struct {
	Journal
	newest ID
}

func (s *sealer) Bounds() Bounds { return Bounds{Newest: s.newest} }

func (s *sealer) Append(_ context.Context, b *Batch) ([]*Entry, error) {
	var list []*Entry
	for i := range b.Entries {
		s.newest++
		e := b.Entries[i]
		e.ID = s.newest
		list = append(list, &e)
	}
	return list, nil
}

func benchmarkLine(b *testing.B, batch int) (*timeline, *mirror, *Batch) {
	b.Helper()
	f, err := newDecoder().frame(sparse, Now())
	if err != nil {
		b.Fatal(err)
	}
	m := f.objects[0]
	in := &Batch{}
	for range batch {
		e := Entry{Event: &Event{Time: f.at, Fabric: "default", Class: m.class, DN: m.dn, Status: Modified, Origin: Live, Attributes: m.attrs, Changes: []Change{{"descr", "a", "b"}}, Object: m.attrs}}
		in.Entries = append(in.Entries, e)
	}
	line, known := newTimeline(&sealer{}, 10_000, nil), newMirror()
	for range 20_000 / batch { // the ring is full, as it is after an hour
		if err := line.append(b.Context(), in, known); err != nil {
			b.Fatal(err)
		}
	}
	return line, known, in
}

// BenchmarkPublish is a batch from the journal into the ring, with its readers
// woken, without what the journal does. One operation is a batch.
func BenchmarkPublish(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			line, known, in := benchmarkLine(b, batch)
			b.ReportAllocs()
			for b.Loop() {
				if err := line.append(b.Context(), in, known); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch), "ns/event")
		})
	}
}

// BenchmarkAfter is what a reader takes out of the ring at once: the newest
// event, a part of many, and a look that finds nothing for it.
func BenchmarkAfter(b *testing.B) {
	for _, bb := range []struct {
		name   string
		behind ID
		narrow Narrow
		want   int
	}{
		{"newest", 1, Narrow{}, 1},
		{"256", 5000, Narrow{}, 256},
		{"class/256", 5000, Narrow{Classes: []Class{"fvBD"}}, 256},
		{"class/nothing/256", 256, Narrow{Classes: []Class{"fvCEp"}}, 0},
	} {
		b.Run(bb.name, func(b *testing.B) {
			line, _, _ := benchmarkLine(b, 100)
			from := line.newest - bb.behind
			b.ReportAllocs()
			for b.Loop() {
				list, _, err := line.after(b.Context(), from, &bb.narrow, 256)
				if err != nil || len(list) != bb.want {
					b.Fatal(len(list), err)
				}
			}
		})
	}
}
