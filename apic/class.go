package apic

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// A Class is the name of an APIC class as it stands in JSON and in URLs:
// package and name written together, case-sensitive, as in "fvTenant". About
// 15,000 exist; acitap treats the name as opaque.
type Class string

const maxClass = 128

var classPattern = regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)

// ParseClass checks the form of an APIC class name. Whether such a class
// exists only an APIC can say.
func ParseClass(s string) (Class, error) {
	if len(s) > maxClass || !classPattern.MatchString(s) {
		return "", fmt.Errorf("%.140q is no class name: an APIC class is letters and digits and begins with a small letter, as fvTenant", s)
	}
	return Class(s), nil
}

// ResolveClass reads what a caller may write for a class: an APIC name, or
// one of acitoolkit's names for it, the latter in any case. A toolkit name can
// stand for several classes.
func ResolveClass(s string) ([]Class, error) {
	if classes, ok := toolkit[strings.ToLower(s)]; ok {
		if len(classes) == 0 {
			return nil, fmt.Errorf("acitoolkit's %s stands for no APIC class that can be subscribed: name APIC classes, as fvTenant", s)
		}
		return slices.Clone(classes), nil
	}
	c, err := ParseClass(s)
	if err != nil {
		return nil, err
	}
	return []Class{c}, nil
}

// superclasses maps an abstract class that can be subscribed to the classes
// that its objects really have. APIC names the concrete class in every object
// and in every push [acitoolkit's aciFaults.py].
var superclasses = map[Class][]Class{
	"faultInfo": {"faultInst", "faultDelegate"},
}

// Concrete returns the classes that objects of c have: c itself, except for a
// known abstract class.
func (c Class) Concrete() []Class {
	if sub, ok := superclasses[c]; ok {
		return slices.Clone(sub)
	}
	return []Class{c}
}

// Covers reports whether an object of class o is an object of class c.
func (c Class) Covers(o Class) bool {
	return c == o || slices.Contains(superclasses[c], o)
}

var statistics = regexp.MustCompile(`([0-9](min|h|d|w|mo|qtr|year)$)|Hist[0-9]`)

// Statistics reports whether c is a statistics class (…5min, …Hist1h). APIC
// accepts a subscription to one and never pushes for it, as statistics bypass
// its event manager.
func (c Class) Statistics() bool { return statistics.MatchString(string(c)) }

// SwitchResident reports whether objects of c with this DN live on a switch,
// so that their pushes end without a word when that switch reboots, and their
// subscriptions lapse early.
func SwitchResident(dn DN) bool { return strings.HasPrefix(string(dn), "topology/") }

// ToolkitNames returns acitoolkit's names with the APIC classes they stand for,
// sorted by name, only those that can be subscribed.
func ToolkitNames() []ToolkitName {
	names := make([]ToolkitName, 0, len(toolkitNames))
	for _, n := range toolkitNames {
		if len(n.Classes) > 0 {
			names = append(names, ToolkitName{n.Name, slices.Clone(n.Classes)})
		}
	}
	sort.Slice(names, func(i, j int) bool { return names[i].Name < names[j].Name })
	return names
}

// A ToolkitName is acitoolkit's name for one or more APIC classes.
type ToolkitName struct {
	Name    string
	Classes []Class
}

// toolkit is toolkitNames by lower-case name.
var toolkit = func() map[string][]Class {
	m := make(map[string][]Class, len(toolkitNames))
	for _, n := range toolkitNames {
		m[strings.ToLower(n.Name)] = n.Classes
	}
	return m
}()

// toolkitNames is the complete map from acitoolkit (each class's
// _get_apic_classes). FilterEntry has none there; its object is vzEntry, which
// is what its users look for.
var toolkitNames = []ToolkitName{
	{"Tenant", []Class{"fvTenant"}},
	{"AppProfile", []Class{"fvAp"}},
	{"EPG", []Class{"fvAEPg"}},
	{"AttributeCriterion", []Class{"fvCrtrn"}},
	{"AnyEPG", []Class{"vzAny"}},
	{"OutsideEPG", []Class{"l3extInstP"}},
	{"OutsideL2EPG", []Class{"l2extInstP"}},
	{"OutsideL3", []Class{"l3extOut"}},
	{"OutsideL2", []Class{"l2extOut"}},
	{"OutsideNetwork", []Class{"l3extSubnet"}},
	{"BridgeDomain", []Class{"fvBD"}},
	{"Subnet", []Class{"fvSubnet"}},
	{"Context", []Class{"fvCtx"}},
	{"Contract", []Class{"vzBrCP"}},
	{"ContractInterface", []Class{"vzCPIf"}},
	{"Taboo", []Class{"vzTaboo"}},
	{"ContractSubject", []Class{"vzSubj"}},
	{"Filter", []Class{"vzFilter"}},
	{"FilterEntry", []Class{"vzEntry"}},
	{"InputTerminal", []Class{"vzInTerm"}},
	{"OutputTerminal", []Class{"vzOutTerm"}},
	{"Endpoint", []Class{"fvCEp", "fvStCEp"}},
	{"IPEndpoint", []Class{"fvIp", "fvStIp"}},
	{"PhysDomain", []Class{"physDomP"}},
	{"VmmDomain", []Class{"vmmDomP"}},
	{"L2ExtDomain", []Class{"l2extDomP"}},
	{"L3ExtDomain", []Class{"l3extDomP"}},
	{"EPGDomain", []Class{"fvRsDomAtt"}},
	{"NetworkPool", []Class{"fvnsVlanInstP", "fvnsVxlanInstP"}},
	{"Tag", []Class{"tagInst"}},
	{"Systemcontroller", []Class{"eqptBoard"}},
	{"Linecard", []Class{"eqptLC"}},
	{"Supervisorcard", []Class{"eqptSupC"}},
	{"Fantray", []Class{"eqptFt"}},
	{"Fan", []Class{"eqptFan"}},
	{"Powersupply", []Class{"eqptPsu"}},
	{"Pod", []Class{"fabricPod"}},
	{"Link", []Class{"fabricLink"}},
	{"Node", []Class{"fabricNode", "firmwareCardRunning", "topSystem", "vpcInst", "vpcDom", "eqptCh", "l1PhysIf", "eqptFtSlot", "eqptLCSlot", "eqptPsuSlot", "eqptSupCSlot", "topoctrlLbP"}},
	{"ExternalSwitch", []Class{"fabricLooseNode", "compHv", "fabricLooseLink", "pcAggrIf", "fabricProtLooseLink", "pcRsMbrIfs", "lldpAdjEp"}},
	{"Interface", []Class{"l1PhysIf", "ethpmPhysIf", "l1RsCdpIfPolCons", "l1RsLldpIfPolCons", "cdpIfPol", "lldpIfPol"}},
	{"ConcreteArp", []Class{"arpInst"}},
	{"ConcreteArpDomain", []Class{"arpDom", "arpDomStatsAdj", "arpDomStatsRx", "arpDomStatsTx"}},
	{"ConcreteArpEntry", []Class{"arpAdjEp", "arpDb"}},
	{"ConcreteVpc", []Class{"vpcEntity", "vpcDom"}},
	{"ConcreteVpcIf", []Class{"vpcIf", "vpcRsVpcConf"}},
	{"ConcreteContext", []Class{"l3Ctx", "l3Inst"}},
	{"ConcreteSVI", []Class{"sviIf"}},
	{"ConcreteLoopback", []Class{"l3LbRtdIf", "ethpmLbRtdIf"}},
	{"ConcreteBD", []Class{"l2BD", "l3Ctx", "l3Inst", "fmcastGrp"}},
	{"ConcreteAccCtrlRule", []Class{"actrlRule"}},
	{"ConcreteFilter", []Class{"actrlFlt"}},
	{"ConcreteFilterEntry", []Class{"actrlEntry"}},
	{"ConcreteEp", []Class{"epmIpEp", "epmMacEp", "epmRsMacEpToIpEpAtt"}},
	{"ConcretePortChannel", []Class{"pcAggrIf", "ethpmAggrIf", "pcRsMbrIfs"}},
	{"ConcreteTunnel", []Class{"tunnelIf"}},
	{"ConcreteCdp", []Class{"cdpInst"}},
	{"ConcreteCdpIf", []Class{"cdpIf"}},
	{"ConcreteCdpAdjEp", []Class{"cdpAdjEp"}},
	{"ConcreteLLdp", []Class{"lldpInst"}},
	{"ConcreteLLdpIf", []Class{"lldpIf"}},
	{"ConcreteLLdpAdjEp", []Class{"lldpAdjEp"}},
	{"Faults", []Class{"faultInfo"}},
	{"HealthScore", []Class{"healthInst"}},
	{"LogicalModel", nil}, {"PhysicalModel", nil}, {"Fabric", nil}, {"ConcreteOverlay", nil},
	{"L2Interface", nil}, {"L3Interface", nil}, {"CommonEPG", nil}, {"OSPFInterface", nil},
	{"OSPFInterfacePolicy", nil}, {"OSPFRouter", nil}, {"BGPSession", nil}, {"FexInterface", nil},
	{"PortChannel", nil}, {"Search", nil}, {"Cluster", nil}, {"Process", nil},
}
