package fanout

import (
	"testing"

	"github.com/acitap/acitap/apic"
)

// BenchmarkForm makes the frame of 60 events, as all readers of a feed are sent
// it.
func BenchmarkForm(b *testing.B) {
	e := &apic.Entry{Event: &apic.Event{
		Time: apic.Now(), Fabric: "default", Class: "fvBD", DN: "uni/tn-common/BD-b123", Status: apic.Modified, Origin: apic.Live,
		Attributes: apic.AttrsMap(map[string]string{"childAction": "", "descr": "new", "dn": "uni/tn-common/BD-b123", "modTs": "2026-01-01T00:00:00.000+00:00", "rn": "", "status": "modified"}),
		Changes:    []apic.Change{{Name: "descr", Old: "old", New: "new"}},
	}}
	e.Seal(1763956931004711)
	for name, form := range map[string]Form{"sse": SSE, "ndjson": Lines} {
		b.Run(name, func(b *testing.B) {
			const events = 60
			b.ReportAllocs()
			for b.Loop() {
				buf := startFrame(runSize)
				for range events {
					buf = form.entry(buf, e, false)
				}
				if f := newFrame(buf); len(f.payload()) == 0 {
					b.Fatal("an empty frame")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
		})
	}
}
