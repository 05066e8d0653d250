package apic

import (
	"fmt"
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
