package apicsim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LiveOptions say how lively a fabric is.
type LiveOptions struct {
	Rate  float64  // events a second, roughly and on average; default 3
	Pace  float64  // how fast faults age: 1, the default, takes a minute or two from soaking to gone
	Users []string // who changes the configuration; default a handful of names
}

// liveState is what Live remembers.
type liveState struct {
	agenda []due // what is to come, soonest first
	made   int   // objects that Live has named
	moods  int
}

type due struct {
	at time.Time
	fn func(tx *Tx)
}

// Live makes the fabric breathe until ctx or the fabric ends: endpoints come, go
// and move, links flap and take the endpoints behind them along, faults soak, are
// raised, clear and are retained, people change the configuration and leave audit
// records, health scores follow. Quiet spells and bursts alternate. What happens
// depends on the seed and on what is in the tree; call [Fabric.Populate] first.
//
// Only one Live at a time.
func (f *Fabric) Live(ctx context.Context, o LiveOptions) error {
	o.Rate = cmp.Or(max(o.Rate, 0), 3) / 6.5 // what happens makes six or seven events
	o.Pace = cmp.Or(max(o.Pace, 0), 1)
	if len(o.Users) == 0 {
		o.Users = userNames
	}
	mood, moodEnd := 1.0, time.Now().Add(15*time.Second)
	next := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.done:
			return nil
		case <-timer.C:
		}
		now := time.Now()
		f.mu.Lock()
		l := &f.live
		for len(l.agenda) > 0 && !l.agenda[0].at.After(now) {
			d := l.agenda[0]
			l.agenda = l.agenda[1:]
			_ = f.transactLocked("internal", 0, false, func(tx *Tx) error { d.fn(tx); return nil })
		}
		if now.After(moodEnd) {
			// Quiet, as usual, busy: never the same twice in a row.
			l.moods++
			mood = []float64{0.35, 1, 2.4, 1}[(l.moods+f.rng.IntN(2))%4]
			moodEnd = now.Add(time.Duration(8+f.rng.IntN(25)) * time.Second)
		}
		if !next.After(now) {
			f.happen(o)
			gap := f.rng.ExpFloat64() / (o.Rate * mood)
			next = now.Add(time.Duration(min(gap, 15/o.Rate) * float64(time.Second)))
		}
		wait := next
		if len(l.agenda) > 0 && l.agenda[0].at.Before(wait) {
			wait = l.agenda[0].at
		}
		f.mu.Unlock()
		timer.Reset(max(time.Until(wait), time.Millisecond))
	}
}

// later puts something on Live's agenda.
func (f *Fabric) later(d time.Duration, fn func(tx *Tx)) {
	e := due{time.Now().Add(d), fn}
	i, _ := slices.BinarySearchFunc(f.live.agenda, e, func(a, b due) int {
		if a.at.After(b.at) {
			return 1
		}
		return -1 // behind those of the same moment
	})
	f.live.agenda = slices.Insert(f.live.agenda, i, e)
}

// happen lets one thing happen.
func (f *Fabric) happen(o LiveOptions) {
	user := o.Users[f.rng.IntN(len(o.Users))]
	act := func(user string, audit bool, fn func(tx *Tx)) {
		_ = f.transactLocked(user, 0, false, func(tx *Tx) error {
			tx.audit = tx.audit || audit
			fn(tx)
			return nil
		})
	}
	switch n := f.rng.IntN(100); {
	case n < 22:
		act("internal", false, (*Tx).comes)
	case n < 38:
		act("internal", false, (*Tx).goes)
	case n < 50:
		act("internal", false, (*Tx).moves)
	case n < 56:
		act("internal", false, (*Tx).speaks)
	case n < 57: // a host is emptied: its machines move one after the other
		for i := range 8 + f.rng.IntN(20) {
			f.later(time.Duration(i*70+f.rng.IntN(50))*time.Millisecond, (*Tx).moves)
		}
	case n < 62:
		act("internal", false, (*Tx).flaps)
	case n < 70:
		act("internal", false, func(tx *Tx) {
			if dn := tx.someFault(); dn != "" {
				tx.age(dn, o.Pace)
			}
		})
	case n < 90:
		act(user, true, (*Tx).configure)
	case n < 97:
		act("internal", false, (*Tx).health)
	default:
		act(user, false, func(tx *Tx) { tx.visits(user) })
	}
}

// some returns a random object of a class for which ok holds, nil if none is
// found quickly.
func (tx *Tx) some(class string, ok func(*node) bool) *node {
	list := tx.f.tree.list(tx.f.classes[class])
	if len(list) == 0 {
		return nil
	}
	for range 20 {
		n := list[tx.f.rng.IntN(len(list))]
		if ok == nil || ok(n) {
			return n
		}
	}
	return nil
}

func (tx *Tx) someEPG() (epgPlace, bool) {
	n := tx.some("fvAEPg", nil)
	if n == nil {
		return epgPlace{}, false
	}
	e := epgPlace{dn: n.dn, bd: tx.Attr(n.dn+"/rsbd", "tDn"), encap: "vlan-101"}
	e.vrf = tx.Attr(e.bd+"/rsctx", "tDn")
	for _, k := range n.kids {
		if k.cls != nil && k.cls.name == "fvRsPathAtt" {
			e.encap = k.attr("encap")
		}
	}
	return e, e.bd != ""
}

// somePort returns the path of a port with a link.
func (tx *Tx) somePort() string {
	n := tx.some("ethpmPhysIf", func(n *node) bool { return n.attr("usage") == "epg" && n.attr("operSt") == "up" })
	if n == nil {
		return ""
	}
	return pathOf(n.dn)
}

// pathOf turns topology/pod-1/node-101/sys/phys-[eth1/1]/phys into
// topology/pod-1/paths-101/pathep-[eth1/1].
func pathOf(dn string) string {
	pod, rest, _ := strings.Cut(dn, "/node-")
	id, rest, _ := strings.Cut(rest, "/sys/phys-[")
	eth, _, _ := strings.Cut(rest, "]")
	return pod + "/paths-" + id + "/pathep-[" + eth + "]"
}

func (tx *Tx) comes() {
	e, ok := tx.someEPG()
	path := tx.somePort()
	if !ok || path == "" {
		return
	}
	tx.f.live.made++
	i := 0x400000 + tx.f.rng.IntN(1<<22)
	ip := ""
	if tx.f.rng.IntN(10) > 0 {
		ip = fmt.Sprintf("10.%d.%d.%d", 16+tx.f.rng.IntN(8), tx.f.rng.IntN(256), 2+tx.f.rng.IntN(250))
	}
	tx.attach(e, path, macOf(i), ip)
}

func (tx *Tx) goes() {
	if n := tx.some("fvCEp", nil); n != nil && len(tx.f.tree.list(n.cls)) > 20 {
		tx.Delete(n.dn)
	}
}

// moves takes an endpoint to another port.
func (tx *Tx) moves() {
	n := tx.some("fvCEp", nil)
	path := tx.somePort()
	if n == nil || path == "" || n.attr("fabricPathDn") == path {
		return
	}
	for _, k := range slices.Clone(n.kids) {
		if k.cls == nil {
			continue
		}
		switch k.cls.name {
		case "fvRsCEpToPathEp":
			tx.Delete(k.dn)
		case "fvIp":
			_ = tx.Modify(k.dn, map[string]string{"fabricPathDn": path})
		}
	}
	_ = tx.make("fvRsCEpToPathEp", n.dn+"/rscEpToPathEp-["+path+"]")
	_ = tx.Modify(n.dn, map[string]string{"fabricPathDn": path})
}

// speaks learns another address of an endpoint, or forgets one.
func (tx *Tx) speaks() {
	n := tx.some("fvCEp", nil)
	if n == nil {
		return
	}
	var ips []*node
	for _, k := range n.kids {
		if k.cls != nil && k.cls.name == "fvIp" {
			ips = append(ips, k)
		}
	}
	if len(ips) > 1 {
		tx.Delete(ips[0].dn)
		return
	}
	ip := fmt.Sprintf("fe80::250:56ff:fe%02x:%x", tx.f.rng.IntN(256), tx.f.rng.IntN(1<<16))
	_ = tx.make("fvIp", n.dn+"/ip-["+ip+"]", "encap", n.attr("encap"), "fabricPathDn", n.attr("fabricPathDn"), "vrfDn", n.attr("vrfDn"), "createTs", tx.stamp())
}

// flaps takes a link down, with what is behind it, and up again.
func (tx *Tx) flaps() {
	port := tx.some("ethpmPhysIf", func(n *node) bool { return n.attr("usage") == "epg" && n.attr("operSt") == "up" })
	if port == nil {
		return
	}
	dn, f := port.dn, tx.f
	set := func(tx *Tx, st, qual, cause, descr, code string) {
		n := tx.f.tree.object(dn)
		if n == nil {
			return
		}
		old, oldQ := n.attr("operSt"), n.attr("operStQual")
		ctr, _ := strconv.Atoi(n.attr("resetCtr"))
		_ = tx.Modify(dn, map[string]string{"operSt": st, "operStQual": qual, "lastLinkStChg": tx.stamp(), "resetCtr": strconv.Itoa(ctr + 1)})
		tx.event(dn, code, cause, descr, fmt.Sprintf("operSt (Old: %s, New: %s), operStQual (Old: %s, New: %s)", old, st, oldQ, qual))
	}
	set(tx, "down", "link-failure", "port-down", "Port is down. Reason: link-failure", "E4205126")
	fault := tx.fault(dn, "F0532", "warning", "port-failure", "communications", "access", "port-down",
		"Port is down, reason:link-failure(connected), used by:EPG")
	path := pathOf(dn)
	var behind []*node
	for _, n := range f.tree.list(f.classes["fvCEp"]) {
		if n.attr("fabricPathDn") == path && len(behind) < 40 {
			behind = append(behind, n)
		}
	}
	type was struct {
		e       epgPlace
		mac, ip string
	}
	var back []was
	for _, n := range behind {
		w := was{e: epgPlace{n.parent.dn, n.attr("vrfDn"), n.attr("bdDn"), n.attr("encap")}, mac: n.attr("mac")}
		for _, k := range n.kids {
			if k.cls != nil && k.cls.name == "fvIp" {
				w.ip = k.attr("addr")
			}
		}
		back = append(back, w)
	}
	slices.SortFunc(back, func(a, b was) int { return strings.Compare(a.mac, b.mac) })
	d := time.Duration(2+f.rng.IntN(15)) * time.Second
	f.later(1500*time.Millisecond, func(tx *Tx) {
		for _, w := range back {
			tx.Delete(w.e.dn + "/cep-" + w.mac)
		}
	})
	f.later(d, func(tx *Tx) {
		set(tx, "up", "none", "port-up", "Port is up", "E4205125")
		if fault != "" && tx.Exists(fault) {
			tx.transition(fault, "raised-clearing")
			f.later(8*time.Second, func(tx *Tx) { tx.transition(fault, "retaining") })
			f.later(40*time.Second, func(tx *Tx) { tx.Delete(fault) })
		}
	})
	f.later(d+1200*time.Millisecond, func(tx *Tx) {
		for _, w := range back {
			if tx.Exists(w.e.dn) {
				tx.attach(w.e, path, w.mac, w.ip)
			}
		}
	})
}

// event writes an event record.
func (tx *Tx) event(affected, code, cause, descr, changeSet string) {
	f := tx.f
	f.recordID++
	dn := fmt.Sprintf("subj-[%s]/rec-%d", affected, f.recordID)
	was := tx.quiet
	tx.quiet = true
	_ = tx.make("eventRecord", dn, "affected", affected, "code", code, "cause", cause, "descr", descr, "changeSet", changeSet,
		"created", tx.stamp(), "id", fmt.Sprint(f.recordID))
	tx.quiet = was
	f.records = append(f.records, dn)
}

// fault creates a fault in the state soaking below an object, and returns its DN;
// "" if it is there already.
func (tx *Tx) fault(parent, code, severity, cause, typ, domain, subject, descr string) string {
	dn := parent + "/fault-" + code
	if !tx.Exists(parent) && !strings.Contains(parent, "/local/svc-") {
		return ""
	}
	if tx.Exists(dn) {
		return ""
	}
	now := tx.stamp()
	if tx.make("faultInst", dn, "severity", severity, "origSeverity", severity, "highestSeverity", severity, "prevSeverity", severity,
		"cause", cause, "type", typ, "domain", domain, "subject", subject, "descr", descr, "created", now, "lastTransition", now,
		"rule", strings.ReplaceAll(subject+"-"+cause, " ", "-"), "lc", "soaking") != nil {
		return ""
	}
	return dn
}

// CreateFault makes a fault below an object, in the state soaking, and returns its
// DN. [Fabric.Transition] takes it through its life.
func (f *Fabric) CreateFault(parent, code, severity, descr string) (string, error) {
	dn := ""
	err := f.Batch(func(tx *Tx) error {
		if !tx.Exists(parent) {
			return fmt.Errorf("object %s not found", parent)
		}
		if dn = tx.fault(parent, code, severity, "threshold-crossed", "operational", "infra", "counter", descr); dn == "" {
			return fmt.Errorf("object %s/fault-%s already exists", parent, code)
		}
		return nil
	})
	return dn, err
}

// Transition takes a fault to a state of its life cycle (N11): soaking-clearing,
// raised, raised-clearing, retaining (which clears it), or raised again after
// retaining, which counts in occur.
func (f *Fabric) Transition(dn, lc string) error {
	return f.Batch(func(tx *Tx) error {
		n := tx.f.tree.object(dn)
		if n == nil || !n.cls.isFault() {
			return fmt.Errorf("no fault at %s", dn)
		}
		if !slices.Contains([]string{"soaking", "soaking-clearing", "raised", "raised-clearing", "retaining"}, lc) {
			return fmt.Errorf("%q is not a state of a fault", lc)
		}
		tx.transition(dn, lc)
		return nil
	})
}

func (tx *Tx) transition(dn, lc string) {
	n := tx.f.tree.object(dn)
	if n == nil {
		return
	}
	set := map[string]string{"lc": lc, "lastTransition": tx.stamp()}
	sev := n.attr("severity")
	switch lc {
	case "retaining":
		set["severity"], set["prevSeverity"] = "cleared", sev
	case "raised", "soaking":
		if sev == "cleared" {
			occur, _ := strconv.Atoi(n.attr("occur"))
			set["occur"] = strconv.Itoa(occur + 1)
			set["severity"], set["prevSeverity"] = n.attr("origSeverity"), sev
		}
	}
	was := tx.quiet
	tx.quiet = true
	_ = tx.Modify(dn, set)
	parent, _ := splitDN(dn)
	tx.f.recordID++
	rec := fmt.Sprintf("subj-[%s]/fr-%d", parent, tx.f.recordID)
	_ = tx.make("faultRecord", rec, "affected", dn, "code", n.attr("code"), "severity", n.attr("severity"), "lc", lc, "cause", n.attr("cause"),
		"descr", n.attr("descr"), "created", tx.stamp(), "id", fmt.Sprint(tx.f.recordID), "ind", "modification", "occur", n.attr("occur"))
	tx.quiet = was
	tx.f.records = append(tx.f.records, rec)
}

// age takes a fault through its life.
func (tx *Tx) age(dn string, pace float64) {
	f := tx.f
	step := func(low, span int) time.Duration {
		return time.Duration(float64(low+f.rng.IntN(span)) / pace * float64(time.Second))
	}
	at := step(6, 12)
	if f.rng.IntN(6) == 0 { // went away while soaking
		f.later(at, func(tx *Tx) { tx.transition(dn, "soaking-clearing") })
		f.later(at+step(4, 6), func(tx *Tx) { tx.Delete(dn) })
		return
	}
	for again := true; again; again = f.rng.IntN(4) == 0 {
		f.later(at, func(tx *Tx) { tx.transition(dn, "raised"); tx.feel(dn, -1) })
		at += step(15, 45)
		f.later(at, func(tx *Tx) { tx.transition(dn, "raised-clearing") })
		at += step(5, 10)
		f.later(at, func(tx *Tx) { tx.transition(dn, "retaining"); tx.feel(dn, +1) })
		at += step(15, 30)
	}
	f.later(at, func(tx *Tx) { tx.Delete(dn) })
}

// feel moves the health score of what a fault is about.
func (tx *Tx) feel(dn string, sign int) {
	for p := dn; p != ""; p, _ = splitDN(p) {
		h := p + "/health"
		if !tx.Exists(h) {
			continue
		}
		tx.score(h, sign*(3+tx.f.rng.IntN(9)))
		return
	}
}

func (tx *Tx) score(dn string, by int) {
	cur, _ := strconv.Atoi(tx.Attr(dn, "cur"))
	next := min(100, max(35, cur+by))
	sev := "cleared"
	switch {
	case next < 60:
		sev = "major"
	case next < 90:
		sev = "minor"
	case next < 100:
		sev = "warning"
	}
	_ = tx.Modify(dn, map[string]string{"cur": strconv.Itoa(next), "prev": strconv.Itoa(cur), "chng": strconv.Itoa(next - cur),
		"twScore": strconv.Itoa((cur + next) / 2), "maxSev": sev, "updTs": tx.stamp()})
}

func (tx *Tx) health() {
	if n := tx.some("healthInst", nil); n != nil {
		cur, _ := strconv.Atoi(n.attr("cur"))
		by := tx.f.rng.IntN(9) - 4
		if cur < 85 {
			by = 3 + tx.f.rng.IntN(8)
		}
		tx.score(n.dn, by)
	}
}

// someFault creates a fault of a kind that networks have, somewhere.
func (tx *Tx) someFault() string {
	r := tx.f.rng
	switch r.IntN(5) {
	case 0:
		p := tx.some("ethpmPhysIf", func(n *node) bool { return n.attr("operSt") == "up" })
		if p == nil {
			return ""
		}
		phys, _ := splitDN(p.dn)
		v := 1 + r.IntN(9)
		return tx.fault(phys, "F381328", "warning", "threshold-crossed", "operational", "infra", "counter",
			fmt.Sprintf("TCA: CRC Align Errors current value(eqptIngrErrPkts5min:crcLast) value %d%% raised above threshold 1%%", v))
	case 1:
		e := tx.some("fvAEPg", nil)
		p := tx.somePort()
		if e == nil || p == "" {
			return ""
		}
		_, rest, _ := strings.Cut(p, "/paths-")
		node, eth, _ := strings.Cut(rest, "/pathep-[")
		eth = strings.TrimSuffix(eth, "]")
		issues := fmt.Sprintf("topology/pod-1/node-%s/local/svc-policyelem-id-0/uni/epp/fv-[%s]/node-%s/stpathatt-[%s]/nwissues", node, e.dn, node, eth)
		descr := fmt.Sprintf("Configuration failed for %s node %s %s due to Encap Already Used in Another EPG", e.dn, node, eth)
		dn := tx.fault(issues, "F0467", "minor", "configuration-failed", "config", "tenant", "management", descr)
		if dn == "" {
			return ""
		}
		_ = tx.Modify(dn, map[string]string{"delegated": "yes", "changeSet": "configQual:encap-already-in-use, configSt:failed-to-apply, temporaryError:no"})
		return dn
	case 2:
		s := tx.some("topSystem", func(n *node) bool { return n.attr("role") != "controller" })
		if s == nil {
			return ""
		}
		slot := 1 + r.IntN(2)
		psu := fmt.Sprintf("%s/ch/psuslot-%d/psu", s.dn, slot)
		if !tx.Exists(psu) {
			_ = tx.make("eqptPsu", psu, "id", fmt.Sprint(slot), "model", "NXA-PAC-650W-PI", "ser", fmt.Sprintf("LIT2%07d", r.IntN(9999999)))
		}
		return tx.fault(psu, "F1451", "minor", "equipment-failed", "environmental", "infra", "power-supply", fmt.Sprintf("Power supply shutdown. (serial number %s)", tx.Attr(psu, "ser")))
	case 3:
		b := tx.some("fvBD", nil)
		if b == nil {
			return ""
		}
		return tx.fault(b.dn+"/rsctx", "F0952", "warning", "resolution-failed", "config", "tenant", "relation-resolution",
			"Failed to form relation to MO ctx-"+tx.Attr(b.dn+"/rsctx", "tnFvCtxName")+" of class fvCtx in context "+b.dn)
	}
	s := tx.some("fabricNode", nil)
	if s == nil || !tx.Exists(s.dn+"/sys") {
		return ""
	}
	return tx.fault(s.dn+"/sys", "F0110", "major", "node-problem", "environmental", "infra", "fabric-node",
		"Node "+s.attr("id")+" ("+s.attr("name")+") clock is out of synchronisation with its NTP server")
}

var descriptions = []string{"", "managed by terraform", "CHG0042817: enlarged", "do not touch before Monday", "owner: network team", "temporary, see CHG0043102",
	"migrated from the old core", "reviewed in the quarterly audit", "PCI scope"}

// configure is one change that somebody makes.
func (tx *Tx) configure() {
	f, r := tx.f, tx.f.rng
	switch r.IntN(9) {
	case 0, 1, 2:
		class := []string{"fvAEPg", "fvBD", "fvTenant", "vzBrCP", "fvAp", "fvCtx"}[r.IntN(6)]
		if n := tx.some(class, func(n *node) bool { return n.attr("descr") == "" || r.IntN(2) == 0 }); n != nil {
			_ = tx.Modify(n.dn, map[string]string{"descr": descriptions[r.IntN(len(descriptions))]})
		}
	case 3:
		if n := tx.some("fvBD", nil); n != nil {
			v := map[string]string{"yes": "no", "no": "yes"}
			p := []string{"arpFlood", "unicastRoute", "limitIpLearnToSubnets"}[r.IntN(3)]
			_ = tx.Modify(n.dn, map[string]string{p: v[n.attr(p)]})
		}
	case 4:
		if n := tx.some("fvBD", nil); n != nil {
			f.live.made++
			dn := fmt.Sprintf("%s/subnet-[10.%d.%d.1/24]", n.dn, 200+r.IntN(40), r.IntN(256))
			_ = tx.make("fvSubnet", dn, "scope", []string{"private", "public", "public,shared"}[r.IntN(3)])
			f.later(time.Duration(40+r.IntN(80))*time.Second, func(tx *Tx) { tx.user, tx.audit = "terraform-ci", true; tx.Delete(dn) })
		}
	case 5:
		if n := tx.some("fvAp", nil); n != nil {
			f.live.made++
			tenant, _ := splitDN(n.dn)
			dn := fmt.Sprintf("%s/epg-canary-%d", n.dn, f.live.made)
			bd := ""
			for _, k := range f.tree.nodes[tenant].kids {
				if k.cls != nil && k.cls.name == "fvBD" {
					bd = k.attr("name")
				}
			}
			if bd == "" {
				return
			}
			user := tx.user
			_ = tx.make("fvAEPg", dn, "descr", "canary rollout")
			_ = tx.make("fvRsBd", dn+"/rsbd", "tnFvBDName", bd)
			_ = tx.make("fvRsCons", dn+"/rscons-web-to-app", "tDn", tenant+"/brc-web-to-app", "state", "formed")
			_ = tx.make("fvRsDomAtt", dn+"/rsdomAtt-[uni/phys-baremetal]", "state", "formed")
			f.later(400*time.Millisecond, func(tx *Tx) {
				if n := f.tree.object(dn); n != nil {
					tx.quiet = true
					_ = tx.Modify(dn, tx.settled(n))
					if n := f.tree.object(dn + "/rsbd"); n != nil {
						_ = tx.Modify(n.dn, tx.settled(n))
					}
				}
			})
			f.later(time.Duration(50+r.IntN(120))*time.Second, func(tx *Tx) { tx.user, tx.audit = user, true; tx.Delete(dn) })
		}
	case 6:
		if n := tx.some("vzBrCP", nil); n != nil {
			_ = tx.Modify(n.dn, map[string]string{"scope": []string{"context", "application-profile", "tenant", "global"}[r.IntN(4)]})
		}
	case 7:
		if n := tx.some("vzFilter", nil); n != nil {
			f.live.made++
			port := []string{"8080", "8443", "9090", "6379", "ssh", "https", "10250"}[r.IntN(7)]
			dn := fmt.Sprintf("%s/e-tcp-%s", n.dn, port)
			if tx.Exists(dn) {
				tx.Delete(dn)
				return
			}
			_ = tx.make("vzEntry", dn, "etherT", "ip", "prot", "tcp", "dFromPort", port, "dToPort", port, "stateful", "yes")
		}
	case 8:
		if n := tx.some("l1PhysIf", func(n *node) bool { return n.attr("usage") == "epg" }); n != nil {
			_ = tx.Modify(n.dn, map[string]string{"descr": fmt.Sprintf("server rack %d, U%d", 1+r.IntN(12), 1+r.IntN(40))})
		}
	}
}

// visits is somebody logging in to the GUI.
func (tx *Tx) visits(user string) {
	tx.f.recordID++
	from := fmt.Sprintf("198.51.100.%d", 10+tx.f.rng.IntN(40))
	dn := fmt.Sprintf("subj-[uni/userext/user-%s]/sess-%d", user, tx.f.recordID)
	tx.quiet = true
	_ = tx.make("aaaSessionLR", dn, "affected", "uni/userext/user-"+user, "created", tx.stamp(), "user", user, "id", fmt.Sprint(tx.f.recordID),
		"descr", "[user "+user+"] From-"+from+"-client-type-GUI-Success")
	tx.f.records = append(tx.f.records, dn)
}
