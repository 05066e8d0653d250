package webtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/acitap/acitap/apic"
)

// Story fills the log with an hour of a small fabric that ends at now: a
// snapshot, configuration, faults in all of their phases, an outage with its
// gap and what was found after it, and endpoints.
func (s *Server) Story(now time.Time) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []apic.Class{"fvTenant", "fvBD", "fvAEPg", "fvCEp", "faultInst", "ethpmPhysIf", "aaaModLR", "fabricNode"} {
		s.Subscribe(c)
	}
	at := now.Add(-58 * time.Minute)
	step := func(d time.Duration) time.Time { at = at.Add(d); return at }
	snap := func(c apic.Class, dn string, a ...string) {
		s.Event(step(3*time.Millisecond), apic.Snapshot, apic.Created, c, apic.DN(dn), a...)
	}
	tenants := []string{"common", "infra", "mgmt", "prod", "stage", "voice"}
	for _, t := range tenants {
		snap("fvTenant", "uni/tn-"+t, "name", t, "descr", "")
	}
	epgs := []string{"web", "app", "db", "cache", "mgmt"}
	for _, t := range tenants[3:] {
		for i, e := range epgs {
			snap("fvBD", fmt.Sprintf("uni/tn-%s/BD-bd-%s", t, e), "name", "bd-"+e, "arpFlood", "no", "unicastRoute", "yes", "mac", "00:22:BD:F8:19:FF", "descr", "")
			snap("fvAEPg", fmt.Sprintf("uni/tn-%s/ap-shop/epg-%s", t, e), "name", e, "pcTag", fmt.Sprint(16386+i), "configSt", "applied", "descr", "", "prio", "unspecified")
		}
	}
	for n := 101; n <= 106; n++ {
		snap("fabricNode", fmt.Sprintf("topology/pod-1/node-%d", n), "id", fmt.Sprint(n), "name", fmt.Sprintf("leaf%d", n), "role", "leaf", "fabricSt", "active", "version", "n9000-16.0(5h)")
		for p := 1; p <= 6; p++ {
			snap("ethpmPhysIf", fmt.Sprintf("topology/pod-1/node-%d/sys/phys-[eth1/%d]/phys", n, p), "operSt", "up", "operStQual", "link-up", "operSpeed", "25G", "lastLinkStChg", at.Add(-time.Hour).Format(time.RFC3339))
		}
	}
	faults := []struct{ dn, code, severity, lc, cause, descr string }{
		{"topology/pod-1/node-102/sys/phys-[eth1/3]/fault-F1186", "F1186", "critical", "raised", "port-failure", "Port is down, reason:linkNotConnected(connected), used by:EPG"},
		{"uni/tn-prod/ap-shop/epg-web/fault-F0467", "F0467", "major", "raised", "configuration-failed", "Configuration failed for uni/tn-prod/ap-shop/epg-web node 101 eth1/4 due to Encap Already Used in Another EPG"},
		{"topology/pod-1/node-104/sys/ch/psuslot-2/psu/fault-F0413", "F0413", "major", "soaking", "equipment-psu-missing", "Power supply shutdown. (serial number DCB2330Z0QX)"},
		{"uni/tn-stage/BD-bd-app/fault-F1294", "F1294", "minor", "raised", "resolution-failed", "Relation to VRF is unresolved"},
		{"topology/pod-1/node-101/sys/phys-[eth1/1]/fault-F381328", "F381328", "warning", "raised", "threshold-crossed", "TCA: CRC Align Errors current value(eqptIngrErrPkts5min:crcLast) value 2% raised above threshold 1%"},
		{"uni/tn-voice/ap-shop/epg-db/fault-F0467", "F0467", "minor", "raised", "configuration-failed", "Configuration failed due to Invalid Path Configuration"},
		{"topology/pod-1/node-106/sys/fault-F1543", "F1543", "warning", "soaking", "node-clock", "Clock offset to the controllers is 812 ms"},
	}
	for _, f := range faults[1:] {
		created := at.Add(-6 * time.Hour).Format(time.RFC3339)
		snap("faultInst", f.dn, "severity", f.severity, "lc", f.lc, "code", f.code, "cause", f.cause, "descr", f.descr, "created", created, "lastTransition", created, "occur", "1", "ack", "no", "highestSeverity", f.severity)
	}
	live := func(d time.Duration, st apic.Status, c apic.Class, dn string, a ...string) {
		s.Event(step(d), apic.Live, st, c, apic.DN(dn), a...)
	}
	audit := 4295233000
	changed := func(user, affected, descr string) {
		audit++
		live(40*time.Millisecond, apic.Created, "aaaModLR", fmt.Sprintf("subj-[%s]/mod-%d", affected, audit), "user", user, "affected", affected, "ind", "modification", "descr", descr, "created", at.Format(time.RFC3339), "code", "E4211936")
	}
	mac := func() string { return fmt.Sprintf("00:50:56:%02X:%02X:%02X", r.IntN(256), r.IntN(256), r.IntN(256)) }
	var known []string
	endpoint := func() {
		t, e := tenants[3+r.IntN(3)], epgs[r.IntN(len(epgs))]
		if len(known) > 12 && r.IntN(3) == 0 {
			i := r.IntN(len(known))
			live(time.Duration(800+r.IntN(5000))*time.Millisecond, apic.Deleted, "fvCEp", known[i])
			known = append(known[:i], known[i+1:]...)
			return
		}
		m := mac()
		dn := fmt.Sprintf("uni/tn-%s/ap-shop/epg-%s/cep-%s", t, e, m)
		known = append(known, dn)
		live(time.Duration(800+r.IntN(5000))*time.Millisecond, apic.Created, "fvCEp", dn, "mac", m, "name", m, "encap", fmt.Sprintf("vlan-%d", 100+r.IntN(900)), "lcC", "learned", "fabricPathDn", fmt.Sprintf("topology/pod-1/paths-%d/pathep-[eth1/%d]", 101+r.IntN(6), 1+r.IntN(6)))
	}
	port := func(n, p int, st string) {
		q := map[string]string{"up": "link-up", "down": "link-failure"}[st]
		live(120*time.Millisecond, apic.Modified, "ethpmPhysIf", fmt.Sprintf("topology/pod-1/node-%d/sys/phys-[eth1/%d]/phys", n, p), "operSt", st, "operStQual", q, "lastLinkStChg", at.Format(time.RFC3339))
	}
	for at.Before(now.Add(-19 * time.Minute)) {
		endpoint()
		if r.IntN(9) == 0 {
			n, p := 101+r.IntN(6), 1+r.IntN(6)
			port(n, p, "down")
			port(n, p, "up")
		}
		if r.IntN(14) == 0 {
			t, e := tenants[3+r.IntN(3)], epgs[r.IntN(len(epgs))]
			dn := fmt.Sprintf("uni/tn-%s/BD-bd-%s", t, e)
			changed("mkeller", dn, "BD bd-"+e+" modified")
			live(30*time.Millisecond, apic.Modified, "fvBD", dn, "arpFlood", []string{"yes", "no"}[r.IntN(2)], "descr", fmt.Sprintf("CHG00%05d", r.IntN(99999)))
		}
	}
	// The outage.
	from := at
	step(72 * time.Second)
	s.Event(at, apic.Resync, apic.Modified, "fvAEPg", "uni/tn-prod/ap-shop/epg-cache", "prio", "level1", "descr", "moved behind the balancer")
	s.Event(at, apic.Resync, apic.Deleted, "fvBD", "uni/tn-stage/BD-bd-mgmt")
	s.Gap(at, from, "socket closed by apic1 (1006); token refresh refused", true, "fvTenant", "fvBD", "fvAEPg", "fvCEp", "faultInst", "ethpmPhysIf")
	for at.Before(now.Add(-4 * time.Minute)) {
		endpoint()
	}
	// A port fails, and its fault begins its life.
	f := faults[0]
	port(102, 3, "down")
	live(600*time.Millisecond, apic.Created, "faultInst", f.dn, "severity", "minor", "lc", "soaking", "code", f.code, "cause", f.cause, "descr", f.descr, "created", at.Format(time.RFC3339), "lastTransition", at.Format(time.RFC3339), "occur", "1", "ack", "no", "highestSeverity", "minor", "domain", "access", "type", "communications", "subject", "port-down", "rule", "ethpm-if-port-down-infra-epg")
	endpoint()
	live(9*time.Second, apic.Modified, "faultInst", f.dn, "severity", "critical", "lc", "raised", "highestSeverity", "critical", "lastTransition", at.Format(time.RFC3339))
	changed("mkeller", "uni/tn-prod/ap-shop/epg-web", "AEPg web modified")
	live(30*time.Millisecond, apic.Modified, "fvAEPg", "uni/tn-prod/ap-shop/epg-web", "descr", "drained for CHG0048213", "prio", "level3", "shutdown", "yes")
	live(7*time.Second, apic.Modified, "faultInst", faults[3].dn, "lc", "raised-clearing", "lastTransition", at.Format(time.RFC3339))
	live(5*time.Second, apic.Modified, "faultInst", faults[5].dn, "severity", "cleared", "lc", "retaining", "lastTransition", at.Format(time.RFC3339))
	for at.Before(now.Add(-3 * time.Second)) {
		endpoint()
	}
	s.Session(func(x *apic.Session) {
		x.Gaps, x.Reconnects, x.Resyncs, x.LastError = 1, 1, 1, "socket closed by apic1 (1006)"
	})
}

// Pour writes n events a second until ctx ends: endpoints that move and ports
// that go up and down.
func (s *Server) Pour(ctx context.Context, n int) {
	const every = 10 * time.Millisecond
	t := time.NewTicker(every)
	defer t.Stop()
	i, owed := 0, 0.0
	start := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		owed = time.Since(start).Seconds()*float64(n) - float64(i)
		now := apic.Now()
		s.mu.Lock()
		for ; owed >= 1; owed-- {
			i++
			dn := apic.DN(fmt.Sprintf("uni/tn-prod/ap-shop/epg-web/cep-00:50:56:00:%02X:%02X", i/256%256, i%256))
			st := apic.Modified
			if s.objects[dn] == nil {
				st = apic.Created
			}
			s.event1(now, apic.Live, st, "fvCEp", dn, []string{"name", "00:50:56", "encap", fmt.Sprintf("vlan-%d", 100+i%7), "fabricPathDn", fmt.Sprintf("topology/pod-1/paths-10%d/pathep-[eth1/%d]", 1+i%6, i%48)})
		}
		s.mu.Unlock()
	}
}
