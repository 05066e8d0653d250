package apic_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
)

func TestSubscribeTellsSnapshotAndLiveChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		s := r.subscribe("/api/class/fvTenant.json")
		if s.Objects != 3 {
			t.Errorf("got %d objects, want the tenants common, infra and mgmt", s.Objects)
		}
		r.fabric.Create("fvTenant", "uni/tn-blue", map[string]string{"descr": "first"})
		r.fabric.Modify("uni/tn-blue", map[string]string{"descr": "second"})
		r.fabric.Delete("uni/tn-blue")
		r.quiet()
		type told struct {
			DN     apic.DN
			Status apic.Status
			Origin apic.Origin
		}
		var got []told
		for _, e := range r.entries() {
			if e.Gap != nil {
				t.Errorf("a gap without an outage: %s", e.JSON)
				continue
			}
			got = append(got, told{e.Event.DN, e.Event.Status, e.Event.Origin})
		}
		want := []told{
			{"uni/tn-common", apic.Created, apic.Snapshot},
			{"uni/tn-infra", apic.Created, apic.Snapshot},
			{"uni/tn-mgmt", apic.Created, apic.Snapshot},
			{"uni/tn-blue", apic.Created, apic.Live},
			{"uni/tn-blue", apic.Modified, apic.Live},
			{"uni/tn-blue", apic.Deleted, apic.Live},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		modified := r.entries()[4].Event
		if diff := cmp.Diff([]apic.Change{{Name: "descr", Old: "first", New: "second"}}, modified.Changes); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if got := modified.Object.Get("name"); got != "blue" {
			t.Errorf("whole object's name is %q, want blue", got)
		}
	})
}

func TestOutageIsComparedAndBracketed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		r.fabric.Create("fvTenant", "uni/tn-gone", nil)
		r.fabric.Create("fvTenant", "uni/tn-changed", nil)
		r.quiet()
		before := time.Now()
		r.network.Refuse("apic1:80", true)
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		time.Sleep(time.Second)
		r.fabric.Delete("uni/tn-gone")
		r.fabric.Modify("uni/tn-changed", map[string]string{"descr": "unseen"})
		r.fabric.Create("fvTenant", "uni/tn-new", nil)
		time.Sleep(time.Minute)
		r.network.Refuse("apic1:80", false)
		time.Sleep(time.Minute)
		r.quiet()
		if diff := cmp.Diff(r.simulated("fvTenant"), r.held("fvTenant")); diff != "" {
			t.Errorf("objects (-fabric +held):\n%s", diff)
		}
		f := fold{}
		var gaps []*apic.Gap
		resyncs := 0
		for _, e := range r.entries() {
			if e.Gap != nil {
				gaps = append(gaps, e.Gap)
				continue
			}
			f.add(e.Event)
			if e.Event.Origin == apic.Resync {
				resyncs++
			}
		}
		if diff := cmp.Diff(r.simulated("fvTenant"), f); diff != "" {
			t.Errorf("fold (-fabric +told):\n%s", diff)
		}
		if len(gaps) != 1 || resyncs != 3 {
			t.Fatalf("got %d gaps and %d resync events, want 1 and 3", len(gaps), resyncs)
		}
		if g := gaps[0]; g.From.After(before) || g.To.Before(before.Add(time.Minute)) || !g.Healed {
			t.Errorf("gap %+v does not bracket the outage that began at %s", g, before)
		}
	})
}
