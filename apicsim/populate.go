package apicsim

import (
	"fmt"
	"time"
)

// Profile is the size of a fabric. Zero fields have the values of the demo.
type Profile struct {
	Tenants      int // default 5
	Leaves       int // default 4
	Spines       int // default 2
	PortsPerLeaf int // default 24
	Endpoints    int // default 300; negative for none
	Faults       int // default 8; negative for none
	AppsPer      int // application profiles of a tenant; default 2
	EPGsPer      int // endpoint groups of a profile; default 4
}

var (
	tenantNames = []string{"shop", "payments", "warehouse", "research", "media", "hr", "telemetry", "partners", "campus", "archive", "lab", "voice"}
	appNames    = []string{"storefront", "checkout", "billing", "catalog", "ledger", "search", "intranet", "streaming", "reporting", "backup"}
	epgNames    = []string{"web", "app", "db", "cache", "queue", "batch", "mgmt", "storage"}
	userNames   = []string{"mkeller", "afonseca", "jlind", "terraform-ci", "ops-ansible", "rpatel"}
)

func pick(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s-%d", names[i%len(names)], i/len(names)+1)
}

func or(n, def int) int {
	switch {
	case n == 0:
		return def
	case n < 0:
		return 0
	}
	return n
}

// Populate builds a believable fabric of that size into the tree: leaves and
// spines with ports and neighbours, tenants with VRFs, bridge domains, subnets,
// contracts and EPGs, endpoints behind the ports, health scores and a few faults.
// The seed decides the details. A hundred thousand endpoints take about a second.
// It is meant for a new fabric, and skips what is there already.
func (f *Fabric) Populate(p Profile) {
	b := builder{
		f: f, tenants: or(p.Tenants, 5), leaves: or(p.Leaves, 4), spines: or(p.Spines, 2), ports: or(p.PortsPerLeaf, 24),
		apps: or(p.AppsPer, 2), epgs: or(p.EPGsPer, 4),
	}
	run := func(fn func(tx *Tx)) {
		_ = f.transact("internal", 0, true, func(tx *Tx) error {
			b.tx = tx
			fn(tx)
			return nil
		})
	}
	run(func(*Tx) { b.physical() })
	for i := range b.tenants {
		run(func(*Tx) { b.tenant(i) })
	}
	if b.tenants*b.apps*b.epgs > 0 && b.leaves > 0 {
		// In pieces, so that the fabric answers meanwhile.
		for i, n := 0, or(p.Endpoints, 300); i < n; {
			run(func(*Tx) {
				for end := min(i+2000, n); i < end; i++ {
					b.endpoint(i)
				}
			})
		}
	}
	for range or(p.Faults, 8) {
		run(func(tx *Tx) {
			if dn := tx.someFault(); dn != "" && tx.Exists(dn) && tx.f.rng.IntN(4) > 0 {
				tx.transition(dn, "raised")
			}
		})
	}
}

// builder of a fabric.
type builder struct {
	f                                          *Fabric
	tx                                         *Tx
	tenants, leaves, spines, ports, apps, epgs int
	epg                                        []epgPlace
	port                                       []string // pathep DNs
}

type epgPlace struct{ dn, vrf, bd, encap string }

func (b *builder) mk(class, dn string, kv ...string) { _ = b.tx.make(class, dn, kv...) }

func (b *builder) physical() {
	now := time.UnixMilli(b.tx.now).UTC()
	boot := now.Add(-26 * 24 * time.Hour).Format(timeLayout)
	b.mk("fabricHealthTotal", "topology/pod-1/health", "cur", "96", "prev", "96", "twScore", "96", "updTs", b.tx.stamp())
	node := func(id int, role, name, model string) string {
		dn := fmt.Sprintf("topology/pod-1/node-%d", id)
		serial := fmt.Sprintf("FDO2%03d0%03d", 150+id%50, id)
		addr := fmt.Sprintf("10.0.%d.%d", 64+id/100, id%100+2)
		version := "n9000-1" + b.f.opts.Version
		b.mk("fabricNode", dn, "name", name, "role", role, "serial", serial, "version", version, "address", addr, "model", model,
			"fabricSt", "active", "apicType", "apic", "lastStateModTs", boot)
		b.mk("topSystem", dn+"/sys", "id", fmt.Sprint(id), "name", name, "role", role, "serial", serial, "version", version, "address", addr,
			"oobMgmtAddr", fmt.Sprintf("192.0.2.%d", id%250), "lastRebootTime", boot, "lastResetReason", "reset-requested-by-user",
			"systemUpTime", "26:00:00:00.000", "currentTime", b.tx.stamp(), "clusterTimeDiff", fmt.Sprint(b.f.rng.IntN(40)-20))
		b.mk("firmwareRunning", dn+"/sys/fwstatuscont/running", "version", version, "peVer", b.f.opts.Version, "ts", boot)
		b.mk("healthInst", dn+"/sys/health", "cur", "100", "prev", "98", "chng", "2", "updTs", b.tx.stamp())
		b.mk("eqptCh", dn+"/sys/ch", "model", model, "ser", serial, "descr", model+" chassis")
		return dn
	}
	port := func(dn, id string, up bool, speed, usage string) {
		b.mk("l1PhysIf", dn+"/sys/phys-["+id+"]", "usage", usage)
		st, q := "down", "sfp-missing"
		if up {
			st, q = "up", "none"
		}
		b.mk("ethpmPhysIf", dn+"/sys/phys-["+id+"]/phys", "operSt", st, "operStQual", q, "operSpeed", speed, "operDuplex", "full", "usage", usage, "lastLinkStChg", boot)
	}
	b.mk("fabricLinkCont", "topology/pod-1/lnkcnt-1")
	for s := range b.spines {
		dn := node(201+s, "spine", fmt.Sprintf("spine-%d", 201+s), "N9K-C9332C")
		for l := range b.leaves {
			port(dn, fmt.Sprintf("eth1/%d", l+1), true, "100G", "fabric")
		}
	}
	for l := range b.leaves {
		id := 101 + l
		dn := node(id, "leaf", fmt.Sprintf("leaf-%d", id), "N9K-C93180YC-FX")
		for i := range b.ports {
			eth := fmt.Sprintf("eth1/%d", i+1)
			up := i%12 < 9
			port(dn, eth, up, "25G", "epg")
			if up {
				b.port = append(b.port, fmt.Sprintf("topology/pod-1/paths-%d/pathep-[%s]", id, eth))
			}
		}
		for s := range b.spines {
			eth := fmt.Sprintf("eth1/%d", 49+s)
			port(dn, eth, true, "100G", "fabric")
			b.mk("lldpAdjEp", fmt.Sprintf("%s/sys/lldp/inst/if-[%s]/adj-1", dn, eth), "sysName", fmt.Sprintf("spine-%d", 201+s), "sysDesc", fmt.Sprintf("topology/pod-1/node-%d", 201+s),
				"portDesc", fmt.Sprintf("topology/pod-1/paths-%d/pathep-[eth1/%d]", 201+s, l+1), "portIdV", fmt.Sprintf("Eth1/%d", l+1), "mgmtIp", fmt.Sprintf("192.0.2.%d", 201+s))
			b.mk("fabricLink", fmt.Sprintf("topology/pod-1/lnkcnt-1/lnk-%d-1-%d-to-%d-1-%d", id, 49+s, 201+s, l+1))
		}
		if l%2 == 1 {
			for _, n := range []int{id - 1, id} {
				b.mk("vpcDom", fmt.Sprintf("topology/pod-1/node-%d/sys/vpc/inst/dom-%d", n, l), "peerSt", "up", "operRole", "master")
			}
		}
	}
	for _, d := range []string{"baremetal", "legacy"} {
		b.mk("physDomP", "uni/phys-"+d)
	}
	b.mk("vmmProvP", "uni/vmmp-VMware", "vendor", "VMware")
	b.mk("vmmDomP", "uni/vmmp-VMware/dom-dvs-prod")
	b.mk("l3extDomP", "uni/l3dom-wan")
	b.mk("fvnsVlanInstP", "uni/infra/vlanns-[servers]-static", "allocMode", "static")
}

func (b *builder) num(low, span int) string { return fmt.Sprint(low + b.f.rng.IntN(span)) }

func (b *builder) tenant(t int) {
	name := pick(tenantNames, t)
	dn := "uni/tn-" + name
	b.mk("fvTenant", dn, "descr", fmt.Sprintf("Tenant of the %s team", name), "annotation", "orchestrator:terraform", "uid", "15374")
	b.mk("fvRsTenantMonPol", dn+"/rsTenantMonPol", "tDn", "uni/tn-common/monepg-default", "state", "formed")
	b.mk("healthInst", dn+"/health", "cur", "98", "prev", "98", "twScore", "98", "updTs", b.tx.stamp())
	for _, v := range []string{"prod", "test"} {
		seg := b.num(2097152, 1000000)
		b.mk("fvCtx", dn+"/ctx-"+v, "pcTag", b.num(16386, 30000), "scope", seg, "seg", seg, "uid", "15374")
		b.mk("vzAny", dn+"/ctx-"+v+"/any")
	}
	for _, fl := range []struct{ name, port, prot string }{{"https", "https", "tcp"}, {"ssh", "ssh", "tcp"}, {"sql", "5432", "tcp"}, {"dns", "dns", "udp"}} {
		b.mk("vzFilter", dn+"/flt-"+fl.name, "fwdId", b.num(10, 900), "revId", b.num(10, 900))
		b.mk("vzEntry", dn+"/flt-"+fl.name+"/e-"+fl.name, "etherT", "ip", "prot", fl.prot, "dFromPort", fl.port, "dToPort", fl.port, "stateful", "yes")
	}
	for _, c := range []string{"web-to-app", "app-to-db", "any-to-web", "admin"} {
		b.mk("vzBrCP", dn+"/brc-"+c, "uid", "15374")
		b.mk("vzSubj", dn+"/brc-"+c+"/subj-all")
		b.mk("vzRsSubjFiltAtt", dn+"/brc-"+c+"/subj-all/rssubjFiltAtt-https", "tDn", dn+"/flt-https", "state", "formed", "tRn", "flt-https")
	}
	b.mk("l3extOut", dn+"/out-wan")
	b.mk("l3extInstP", dn+"/out-wan/instP-internet", "pcTag", b.num(16386, 30000))
	b.mk("l3extSubnet", dn+"/out-wan/instP-internet/extsubnet-[0.0.0.0/0]")
	for a := range b.apps {
		ap := dn + "/ap-" + pick(appNames, (t*b.apps+a)%len(appNames)+a/len(appNames)*len(appNames))
		b.mk("fvAp", ap, "uid", "15374")
		b.mk("healthInst", ap+"/health", "cur", "100", "prev", "100", "updTs", b.tx.stamp())
		for e := range b.epgs {
			n := len(b.epg)
			vrf := "prod"
			if a%2 == 1 {
				vrf = "test"
			}
			_, apName := splitDN(ap)
			bdName := apName[len("ap-"):] + "-" + pick(epgNames, e)
			bd := dn + "/BD-" + bdName
			vrfDN := dn + "/ctx-" + vrf
			b.mk("fvBD", bd, "pcTag", b.num(16386, 30000), "scope", b.tx.Attr(vrfDN, "scope"), "seg", b.num(14811120, 1900000), "descr", "", "uid", "15374")
			b.mk("fvRsCtx", bd+"/rsctx", "tnFvCtxName", vrf, "tDn", vrfDN, "tRn", "ctx-"+vrf, "state", "formed")
			b.mk("fvSubnet", fmt.Sprintf("%s/subnet-[10.%d.%d.1/22]", bd, 16+n/64, n%64*4), "scope", "public", "preferred", "yes")
			epg := ap + "/epg-" + pick(epgNames, e)
			encap := fmt.Sprintf("vlan-%d", 101+n%3800)
			b.mk("fvAEPg", epg, "pcTag", b.num(16386, 30000), "scope", b.tx.Attr(vrfDN, "scope"), "configSt", "applied", "uid", "15374", "txId", b.num(1<<40, 1<<30))
			b.mk("healthInst", epg+"/health", "cur", "100", "prev", "100", "updTs", b.tx.stamp())
			b.mk("fvRsBd", epg+"/rsbd", "tnFvBDName", bdName, "tDn", bd, "tRn", "BD-"+bdName, "state", "formed")
			b.mk("fvRsCustQosPol", epg+"/rscustQosPol", "tDn", "uni/tn-common/qoscustom-default", "state", "formed")
			b.mk("fvRsDomAtt", epg+"/rsdomAtt-[uni/phys-baremetal]", "state", "formed")
			if len(b.port) > 0 {
				for i := range 2 {
					p := b.port[(n*2+i)%len(b.port)]
					b.mk("fvRsPathAtt", epg+"/rspathAtt-["+p+"]", "encap", encap, "state", "formed", "instrImedcy", "immediate")
				}
			}
			if e > 0 {
				b.mk("fvRsProv", epg+"/rsprov-web-to-app", "tDn", dn+"/brc-web-to-app", "state", "formed")
			} else {
				b.mk("fvRsCons", epg+"/rscons-web-to-app", "tDn", dn+"/brc-web-to-app", "state", "formed")
			}
			b.epg = append(b.epg, epgPlace{epg, vrfDN, bd, encap})
		}
	}
}

// endpoint puts number i somewhere.
func (b *builder) endpoint(i int) {
	if len(b.port) == 0 {
		return
	}
	e := b.epg[i%len(b.epg)]
	b.tx.attach(e, b.port[b.f.rng.IntN(len(b.port))], macOf(i), ipOf(b.epgIndex(i), i/len(b.epg)))
}

func (b *builder) epgIndex(i int) int { return i % len(b.epg) }

func macOf(i int) string {
	return fmt.Sprintf("00:50:56:%02X:%02X:%02X", i>>16&0xFF, i>>8&0xFF, i&0xFF)
}

// ipOf is host number h of the subnet of EPG e. Large fabrics run over the /22; so
// be it.
func ipOf(e, h int) string {
	h += 10
	return fmt.Sprintf("10.%d.%d.%d", 16+e/64+h/1000%100, e%64*4+h/250%4, 2+h%250)
}

// attach learns an endpoint behind a port.
func (tx *Tx) attach(e epgPlace, path, mac, ip string) string {
	dn := e.dn + "/cep-" + mac
	if tx.make("fvCEp", dn, "name", mac, "encap", e.encap, "fabricPathDn", path, "bdDn", e.bd, "vrfDn", e.vrf) != nil {
		return ""
	}
	if ip != "" {
		_ = tx.make("fvIp", dn+"/ip-["+ip+"]", "encap", e.encap, "fabricPathDn", path, "vrfDn", e.vrf, "bdDn", e.bd, "createTs", tx.stamp())
	}
	_ = tx.make("fvRsCEpToPathEp", dn+"/rscEpToPathEp-["+path+"]")
	return dn
}
