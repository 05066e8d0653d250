package handlers

import (
	"testing"

	"github.com/acitap/acitap/apic"
)

// BenchmarkWire is an event into the buffer of a stream, of either form.
func BenchmarkWire(b *testing.B) {
	e := &apic.Entry{Event: &apic.Event{
		Time: apic.Now(), Fabric: "default", Class: "fvBD", DN: "uni/tn-common/BD-b123", Status: apic.Modified, Origin: apic.Live,
		Attributes: apic.AttrsMap(map[string]string{"childAction": "", "descr": "new", "dn": "uni/tn-common/BD-b123", "modTs": "2026-01-01T00:00:00.000+00:00", "rn": "", "status": "modified"}),
		Changes:    []apic.Change{{Name: "descr", Old: "old", New: "new"}},
	}}
	e.Seal(1763956931004711)
	s, l := new(sse), new(lines)
	for _, bb := range []struct {
		name  string
		wire  wire
		reset func()
	}{
		{"sse", s, func() { s.buf = s.buf[:0] }},
		{"ndjson", l, func() { l.buf = l.buf[:0] }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if bb.wire.buffered() > partSize {
					bb.reset()
				}
				bb.wire.entry(e)
			}
		})
	}
}
