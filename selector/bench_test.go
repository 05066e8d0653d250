package selector_test

import (
	"fmt"
	"testing"

	"github.com/acitap/acitap/apic"
)

// A faultInst as an APIC sends it, with the attributes that it has.
var fullFault = &apic.Event{
	Time: moment, Fabric: "default", Class: "faultInst",
	DN:     "topology/pod-1/node-101/sys/phys-[eth1/33]/phys/fault-F0532",
	Status: apic.Modified, Origin: apic.Live,
	Attributes: attrs("severity", "critical", "occur", "3", "status", "modified"),
	Changes:    []apic.Change{{Name: "occur", Old: "2", New: "3"}, {Name: "severity", Old: "minor", New: "critical"}},
	Object: attrs("ack", "no", "alert", "no", "cause", "interface-physical-down", "changeSet", "accessVlan:unknown,lastErrors:0,operSt:down,usage:epg",
		"childAction", "", "code", "F0532", "created", "2026-11-24T03:40:00.000+00:00", "delegated", "no", "descr", "Port is down, reason:sfpAbsent, used by:EPG",
		"dn", "topology/pod-1/node-101/sys/phys-[eth1/33]/phys/fault-F0532", "domain", "access", "highestSeverity", "critical",
		"lastTransition", "2026-11-24T03:42:10.000+00:00", "lc", "raised", "modTs", "never", "occur", "3", "origSeverity", "critical",
		"prevSeverity", "critical", "rule", "ethpm-if-port-down-infra-epg", "severity", "critical", "status", "", "subject", "port-down",
		"title", "", "type", "communications", "uid", ""),
}

func BenchmarkMatch(b *testing.B) {
	inTenant := *fault
	inTenant.Object = fullFault.Object
	for _, bb := range []struct {
		name, query string
		event       *apic.Event
	}{
		{"class+status", "class=faultInst,faultDelegate&status=created,modified", fullFault},
		{"class+status/miss", "class=fvBD,fvCtx,fvAEPg,fvTenant&status=created,modified", fullFault},
		{"tenant", "tenant=prod,common", fault},
		{"node", "node=101", fullFault},
		{"dn/below", "dn=topology/pod-1/node-101/", fullFault},
		{"dn/pattern", "dn=topology/pod-*/node-101/**/fault-*", fullFault},
		{"attr", "attr.severity=critical,major", fullFault},
		{"filter", `filter=object.severity in ["critical","major"] and tenant == "prod"`, &inTenant},
		{"filter/miss", `filter=object.severity in ["critical","major"] and tenant == "common"`, &inTenant},
		{"filter/path", `filter=interface == "eth1/33" and status != "deleted"`, fullFault},
		{"filter/matches", `filter=object.descr matches "reason:[a-z]+Absent"`, fullFault},
		{"filter/changes", `filter=changes.severity.new == "critical" and changes.severity.old != "critical"`, fullFault},
		{"filter/machine", `filter=lower(object.severity) == "critical" and int(object.occur) > 2`, fullFault},
		{"filter/time", `filter=time > "2026-01-01"`, fullFault},
		{"filter/fails", `filter=int(object.nothing) > 2`, fullFault},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := parse(b, escape2(bb.query))
			e := &apic.Entry{ID: 1, Event: bb.event}
			b.ReportAllocs()
			for b.Loop() {
				s.Match(e)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for i, query := range []string{
		"class=faultInst&status=created",
		`class=faultInst&filter=object.severity in ["critical","major"] and tenant == "prod"`,
	} {
		b.Run(fmt.Sprint(i), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parse(b, escape2(query))
			}
		})
	}
}
