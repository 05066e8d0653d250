package apic

import (
	"fmt"
	"runtime"
	"testing"
)

var sparse = []byte(`{"subscriptionId":["72059075820650497"],"imdata":[{"fvBD":{"attributes":{"childAction":"","configIssues":"","descr":"%s","dn":"uni/tn-CL/BD-CLbd","modTs":"2023-05-04T16:02:00.972-04:00","rn":"","status":"modified"}}}]}`)

func BenchmarkDecodeFrame(b *testing.B) {
	d := newDecoder()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.frame(sparse, Now()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	f, err := newDecoder().frame(sparse, Now())
	if err != nil {
		b.Fatal(err)
	}
	m := f.objects[0]
	e := Entry{Event: &Event{Time: f.at, Fabric: "default", Class: m.class, DN: m.dn, Status: Modified, Origin: Live, Attributes: m.attrs, Changes: []Change{{"descr", "a", "b"}}, Object: m.attrs}}
	b.ReportAllocs()
	for b.Loop() {
		e.Seal(1763956931004711)
	}
}

func BenchmarkPath(b *testing.B) {
	for name, dn := range map[string]DN{
		"epg":   "uni/tn-prod/ap-shop/epg-web",
		"fault": "topology/pod-1/node-101/local/svc-policyelem-id-0/uni/epp/fv-[uni/tn-TK/ap-AP1/epg-EPG1-2]/node-101/stpathatt-[eth1/4]/nwissues/fault-F0467",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dn.Path()
			}
		})
	}
}

// BenchmarkTell is a change from its decoded frame to the batch: mirror, old
// and new values, the whole object.
func BenchmarkTell(b *testing.B) {
	h := &Hub{o: Options{Fabric: "default"}, mirror: newMirror(), metrics: newMetrics(nil), queued: map[Class]bool{"fvBD": true}, rereads: map[DN]*reread{}}
	attrs := map[string]string{"dn": "uni/tn-CL/BD-CLbd", "descr": ""}
	for i := range 40 {
		attrs[fmt.Sprintf("attribute%02d", i)] = "some value"
	}
	h.mirror.put(&object{dn: "uni/tn-CL/BD-CLbd", class: "fvBD", attrs: AttrsMap(attrs)})
	s := newSubscription(Subscription{})
	c := &conn{}
	l := &link{sub: s, conn: c, active: true}
	s.links = []*link{l}
	d := newDecoder()
	var frames []frame
	for i := range 1000 {
		f, err := d.frame([]byte(fmt.Sprintf(string(sparse), fmt.Sprint(i))), Now())
		if err != nil {
			b.Fatal(err)
		}
		frames = append(frames, f)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h.observe(c, frames[i%1000].objects[0], frames[0].at, s.links)
		if i++; i%1000 == 0 {
			h.batch.Entries = h.batch.Entries[:0]
			for dn, st := range h.mirror.staged {
				h.mirror.put(st.object)
				delete(h.mirror.staged, dn)
			}
		}
	}
}

// BenchmarkMirrorMemory is what an object costs the mirror: an endpoint with
// its DN, its 20 attributes, and its part in the map and the order. Beside it,
// the same attributes as a map of strings.
func BenchmarkMirrorMemory(b *testing.B) {
	const objects = 20_000
	endpoint := func(i int) (DN, map[string]string) {
		mac := fmt.Sprintf("00:50:56:%02X:%02X:%02X", i>>16&255, i>>8&255, i&255)
		dn := fmt.Sprintf("uni/tn-tenant%d/ap-shop/epg-web/cep-%s", i%97, mac)
		m := map[string]string{"dn": dn, "mac": mac, "name": mac, "ip": fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), "encap": "vlan-1017", "modTs": "2026-11-24T03:42:11.101+00:00"}
		for k := range 14 {
			m[fmt.Sprintf("attribute%02d", k)] = []string{"", "no", "learned", "unspecified", "0"}[k%5]
		}
		return DN(dn), m
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var mirrored, mapped uint64
	for b.Loop() {
		before := heap()
		m := newMirror()
		for i := range objects {
			dn, attrs := endpoint(i)
			m.put(&object{dn: dn, class: "fvCEp", attrs: AttrsMap(attrs)})
		}
		mirrored += heap() - before
		runtime.KeepAlive(m)
		m = nil
		before = heap()
		maps := make(map[DN]map[string]string)
		for i := range objects {
			dn, attrs := endpoint(i)
			maps[dn] = attrs
		}
		mapped += heap() - before
		runtime.KeepAlive(maps)
	}
	b.ReportMetric(float64(mirrored)/objects/float64(b.N), "B/object")
	b.ReportMetric(float64(mapped)/objects/float64(b.N), "B/object-as-map")
	b.ReportMetric(0, "ns/op")
}
