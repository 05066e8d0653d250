package apicsim

import (
	"slices"
	"strings"
)

// The five attributes that every object has and that no object stores: the
// encoder makes them. They are the first keys of every class.
const (
	keyChildAction = iota
	keyDN
	keyModTs
	keyRN
	keyStatus
	keyFirst // of the attributes that are stored
)

// class is what is known about an APIC class: how an RN is made, which
// attributes an object has at least, and in which order they are written.
//
// A class only ever grows (attributes that a POST brought along), under the
// fabric's write lock; keys stay valid for ever.
type class struct {
	name   string
	rn     []segment // nil: not known
	super  []string  // abstract classes that this one belongs to
	config bool      // set by users: audited, as opposed to operational

	names    []string          // by key
	keys     map[string]uint16 // by name
	quoted   [][]byte          // `"name":`, by key
	defaults []string          // by key
	has      []bool            // by key: the default is shown although not set
	order    []uint16          // keys in the order of names
}

// segment of an RN pattern: literal text, or the value of a naming property.
type segment struct {
	text string
	prop bool
}

func newClass(name string) *class {
	c := &class{name: name, keys: map[string]uint16{}}
	for _, n := range []string{"childAction", "dn", "modTs", "rn", "status"} {
		c.key(n)
		c.has[len(c.has)-1] = true
	}
	return c
}

// key returns the key of an attribute, which it adds if need be.
func (c *class) key(name string) uint16 {
	if k, ok := c.keys[name]; ok {
		return k
	}
	k := uint16(len(c.names))
	c.keys[name] = k
	c.names = append(c.names, name)
	c.quoted = append(c.quoted, append(appendString(nil, name), ':'))
	c.defaults = append(c.defaults, "")
	c.has = append(c.has, false)
	i, _ := slices.BinarySearchFunc(c.order, name, func(k uint16, n string) int { return strings.Compare(c.names[k], n) })
	c.order = slices.Insert(c.order, i, k)
	return k
}

func (c *class) setDefault(name, value string) {
	k := c.key(name)
	c.defaults[k], c.has[k] = value, true
}

// isFault: modified is told with the whole object and without modTs.
func (c *class) isFault() bool { return c.name == "faultInst" || c.name == "faultDelegate" }

// isStat: statistics bypass the event manager and never push.
func isStat(name string) bool {
	if strings.Contains(name, "Hist") {
		return true
	}
	for _, s := range []string{"5min", "15min", "1h", "1d", "1w", "1mo", "1qtr", "1year"} {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

func parsePattern(s string) []segment {
	var out []segment
	for s != "" {
		i := strings.IndexByte(s, '{')
		if i < 0 {
			return append(out, segment{text: s})
		}
		if i > 0 {
			out = append(out, segment{text: s[:i]})
		}
		j := strings.IndexByte(s, '}')
		out = append(out, segment{text: s[i+1 : j], prop: true})
		s = s[j+1:]
	}
	return out
}

// makeRN builds the RN of an object from its attributes.
func (c *class) makeRN(attrs map[string]string) (string, bool) {
	if c.rn == nil {
		return "", false
	}
	var b strings.Builder
	for _, s := range c.rn {
		if !s.prop {
			b.WriteString(s.text)
			continue
		}
		v := attrs[s.text]
		if v == "" {
			return "", false
		}
		b.WriteString(v)
	}
	return b.String(), true
}

// readRN is the reverse of makeRN: the naming properties in an RN. It reports
// whether the RN fits the class at all.
func (c *class) readRN(rn string, set func(name, value string)) bool {
	if c.rn == nil {
		return false
	}
	for i, s := range c.rn {
		switch {
		case !s.prop:
			var ok bool
			if rn, ok = strings.CutPrefix(rn, s.text); !ok {
				return false
			}
		case i == len(c.rn)-1:
			if rn == "" {
				return false
			}
			set(s.text, rn)
			rn = ""
		default:
			next := c.rn[i+1].text
			j := strings.Index(rn, next)
			if i == len(c.rn)-2 { // the last literal ends the RN
				j = strings.LastIndex(rn, next)
			}
			if j <= 0 {
				return false
			}
			set(s.text, rn[:j])
			rn = rn[j:]
		}
	}
	return rn == ""
}

// macros of the table below.
var macros = map[string]string{
	"@c": "annotation= extMngdBy= lcOwn=local monPolDn=uni/tn-common/monepg-default uid=0 userdom=all",
	"@n": "descr= name= nameAlias= ownerKey= ownerTag=",
	"@r": "annotation= extMngdBy= forceResolve=yes lcOwn=local monPolDn=uni/tn-common/monepg-default rType=mo state=unformed stateQual=none tCl= tDn= tRn= tType=name uid=0 userdom=all",
	"@f": "ack=no alert=no cause= changeSet= code= created= delegated=no descr= domain=infra highestSeverity=minor lastTransition= lc=soaking occur=1 origSeverity=minor prevSeverity=cleared rule= severity=minor subject= title= type=operational",
	"@l": "affected= cause=transition changeSet= code= created= descr= id= ind=modification severity=info trig=config txId=0 user=admin",
}

// schema: class, RN pattern ("-" for unknown), attributes with their values in a
// new object. "~" stands for a space. What page 5.2 of the protocol lists has
// attributes; the rest is known by name only.
const schema = `
topRoot -
polUni uni lcOwn=local uid=0
compUni comp lcOwn=local name=
fabricInst fabric @c @n
infraInfra infra @c @n
aaaUserEp userext @c @n
fabricTopology topology lcOwn=local monPolDn=uni/fabric/monfab-default
fabricPod pod-{id} id= lcOwn=local monPolDn=uni/fabric/monfab-default podType=physical
fvTenant tn-{name} @c @n
fvCtx ctx-{name} @c @n bdEnforcedEnable=no ipDataPlaneLearning=enabled knwMcastAct=permit pcEnfDir=ingress pcEnfDirUpdated=yes pcEnfPref=enforced pcTag=any scope=0 seg=0
fvBD BD-{name} @c @n OptimizeWanBandwidth=no arpFlood=no bcastP=225.0.0.0 configIssues= epClear=no epMoveDetectMode= hostBasedRouting=no intersiteBumTrafficAllow=no intersiteL2Stretch=no ipLearning=yes ipv6McastAllow=no limitIpLearnToSubnets=yes llAddr=:: mac=00:22:BD:F8:19:FF mcastAllow=no mtu=inherit multiDstPktAct=bd-flood pcTag=any scope=0 seg=0 type=regular unicastRoute=yes unkMacUcastAct=proxy unkMcastAct=flood v6unkMcastAct=flood vmac=not-applicable
fvSubnet subnet-[{ip}] @c descr= name= nameAlias= ctrl= ip= ipDPLearning=enabled preferred=no scope=private virtual=no
fvAp ap-{name} @c @n prio=unspecified
fvAEPg epg-{name} @c descr= name= nameAlias= configIssues= configSt=not-applied exceptionTag= floodOnEncap=disabled fwdCtrl= hasMcastSource=no isAttrBasedEPg=no isSharedSrvMsiteEPg=no matchT=AtleastOne pcEnfPref=unenforced pcTag=any prefGrMemb=exclude prio=unspecified scope=0 shutdown=no triggerSt=triggerable txId=0
fvRsBd rsbd @r tCl=fvBD tnFvBDName=
fvRsCtx rsctx @r tCl=fvCtx tContextDn= tnFvCtxName=
fvRsCustQosPol rscustQosPol @r tCl=qosCustomPol tnQosCustomPolName=
fvRsTenantMonPol rsTenantMonPol @r tCl=monEPGPol tnMonEPGPolName=
fvEpTags eptags @c @n
vnsSvcCont svcCont @c @n
fvRsPathAtt rspathAtt-[{tDn}] @r tCl=fabricPathEp tType=mo encap=unknown instrImedcy=lazy mode=regular primaryEncap=unknown descr=
fvRsDomAtt rsdomAtt-[{tDn}] @r tCl=infraDomP tType=mo encap=unknown instrImedcy=lazy resImedcy=lazy
fvRsCons rscons-{tnVzBrCPName} @r tCl=vzBrCP tnVzBrCPName= prio=unspecified
fvRsProv rsprov-{tnVzBrCPName} @r tCl=vzBrCP tnVzBrCPName= prio=unspecified matchT=AtleastOne
vzBrCP brc-{name} @c @n configIssues= prio=unspecified reevaluateAll=no scope=context targetDscp=unspecified
vzSubj subj-{name} @c descr= name= nameAlias= configIssues= consMatchT=AtleastOne prio=unspecified provMatchT=AtleastOne revFltPorts=yes targetDscp=unspecified
vzRsSubjFiltAtt rssubjFiltAtt-{tnVzFilterName} @r tCl=vzFilter tnVzFilterName= action=permit directives=
vzFilter flt-{name} @c @n fwdId=0 id=implicit revId=0 txId=0
vzEntry e-{name} @c descr= name= nameAlias= applyToFrag=no arpOpc=unspecified dFromPort=unspecified dToPort=unspecified etherT=unspecified icmpv4T=unspecified icmpv6T=unspecified matchDscp=unspecified prot=unspecified sFromPort=unspecified sToPort=unspecified stateful=no tcpRules=
vzTaboo taboo-{name} @c @n
vzCPIf cif-{name} @c @n
vzAny any @c descr= name= nameAlias= configIssues= matchT=AtleastOne pcTag=any prefGrMemb=disabled
vzInTerm intmnl @c descr= name=
vzOutTerm outtmnl @c descr= name=
l3extOut out-{name} @c @n enforceRtctrl=export targetDscp=unspecified
l3extInstP instP-{name} @c descr= name= nameAlias= configIssues= configSt=applied floodOnEncap=disabled matchT=AtleastOne pcTag=any prefGrMemb=exclude prio=unspecified scope=0 targetDscp=unspecified
l3extSubnet extsubnet-[{ip}] @c descr= name= nameAlias= aggregate= ip= scope=import-security
l2extOut l2out-{name} @c @n targetDscp=unspecified
l2extInstP instP-{name} @c descr= name= nameAlias= pcTag=any prio=unspecified
fvCEp cep-{mac} annotation= baseEpgDn= bdDn= contName= encap=unknown esgUsegDn= extMngdBy= fabricPathDn= hostingServer= id=0 idepdn= lcC=learned lcOwn=local mac= mcastAddr=not-applicable monPolDn=uni/tn-common/monepg-default name= nameAlias= reportingControllerName= uid=0 userdom=all uuid= vmmSrc= vrfDn=
fvIp ip-[{addr}] addr= annotation= baseEpgDn= bdDn= createTs= debugMACMessage= encap=unknown extMngdBy= fabricPathDn= flags= lcOwn=local monPolDn=uni/tn-common/monepg-default uid=0 userdom=all vrfDn=
fvRsCEpToPathEp rscEpToPathEp-[{tDn}] forceResolve=yes lcC=learned lcOwn=local rType=mo state=formed stateQual=none tCl=fabricAPathEp tDn= tType=mo
fvReportingNode node-{id} createTs= id= lcC= lcOwn=local
fvStCEp stcep-{mac}-type-{type} @c encap=unknown id=0 ip=0.0.0.0 mac= type=silent-host name=
fvStIp ip-[{addr}] @c addr=
fvCrtrn crtrn @c @n match=any
fvEpP epp lcOwn=local
faultInst fault-{code} @f
faultDelegate fd-[{affected}]-fault-{code} affected= @f
faultRecord fr-{id} @f affected= id= ind=creation
faultCounts fltCnts crit=0 critAcked=0 lcOwn=local maj=0 majAcked=0 minor=0 minorAcked=0 warn=0 warnAcked=0
eventRecord rec-{id} @l trig=oper user=internal ind=state-transition
aaaModLR mod-{id} @l clientTag= sessionId=
aaaSessionLR sess-{id} @l trig=login,session code=E4205015 ind=special
aaaActiveUserSession actsession-{hashToken} annotation= descr= expiryTime= extMngdBy= hashToken= ipAddress= lcOwn=local loginTime= name= nameAlias= ownerKey= ownerTag= uType=local uid=0
aaaUser user-{name} @c @n accountStatus=active email= expiration=never expires=no firstName= lastName= phone= pwd=
healthInst health chng=0 cur=100 maxSev=cleared prev=100 twScore=100 updTs=
fabricHealthTotal health chng=0 cur=100 maxSev=cleared prev=100 twScore=100 updTs=
fabricNode node-{id} adSt=on address= annotation= apicType=apic delayedHeartbeat=no extMngdBy= fabricSt=unknown id= lastStateModTs= lcOwn=local model= monPolDn=uni/fabric/monfab-default name= nameAlias= nodeType=unspecified role=unspecified serial= uid=0 userdom=all vendor=Cisco~Systems,~Inc version=
topSystem sys address=0.0.0.0 bootstrapState=done clusterTimeDiff=0 configIssues= controlPlaneMTU=9000 currentTime= enforceSubnetCheck=yes etepAddr=0.0.0.0 fabricDomain=ACI~Fabric1 fabricId=1 fabricMAC=00:22:BD:F8:19:FF id= inbMgmtAddr=0.0.0.0 inbMgmtAddrMask=0 lastRebootTime= lastResetReason=unknown lcOwn=local mode=unspecified monPolDn=uni/fabric/monfab-default name= nameAlias= nodeType=unspecified oobMgmtAddr=0.0.0.0 oobMgmtAddrMask=24 podId=1 remoteNetworkId=0 role=unspecified serial= siteId=0 state=in-service systemUpTime=00:00:00:00.000 tepPool=10.0.0.0/16 version=
l1PhysIf phys-[{id}] adminSt=up autoNeg=on bw=0 delay=1 descr= dot1qEtherType=0x8100 ethpmCfgFailedBmp= fecMode=inherit id= inhBw=unspecified layer=Layer2 lcOwn=local linkDebounce=100 mdix=auto medium=broadcast mode=trunk monPolDn=uni/infra/moninfra-default mtu=9000 name= portT=leaf routerMac=not-applicable spanMode=not-a-span-dest speed=inherit switchingSt=disabled usage=discovery
ethpmPhysIf phys accessVlan=unknown allowedVlans= lastErrors=0 lastLinkStChg=1970-01-01T00:00:00.000+00:00 lcOwn=local nativeVlan=unknown operDuplex=auto operMode=trunk operSpeed=inherit operSt=down operStQual=link-failure operVlans= resetCtr=0 usage=discovery
pcAggrIf aggr-[{id}] adminSt=up descr= id= lcOwn=local name= pcMode=active pcId=0 usage=discovery
ethpmAggrIf aggrif lcOwn=local operSt=down operStQual=unknown operSpeed=inherit
lldpInst inst adminSt=enabled lcOwn=local name=
lldpIf if-[{id}] adminRxSt=enabled adminTxSt=enabled id= lcOwn=local
lldpAdjEp adj-{id} capability= chassisIdT=mac chassisIdV= enCap= id= lcOwn=local mgmtId=0 mgmtIp= mgmtPortMac= name= portDesc= portIdT=if-name portIdV= portVlan=unspecified stQual= sysDesc= sysName= ttl=120
cdpInst inst adminSt=enabled lcOwn=local name=
cdpIf if-[{id}] adminSt=enabled id= lcOwn=local
cdpAdjEp adj-{index} cap= devId= duplex=unknown index= lcOwn=local mtu=0 nativeVlan=unspecified platId= portId= stQual= sysLoc= sysName= ver=
infraWiNode node-{id} addr=0.0.0.0 adminSt=in-service annotation= apicMode=active chassis= cntrlSbstState=approved extMngdBy= failoverStatus=idle force=no health=fully-fit id= lcOwn=local mbSn= mutnTs= name= nodeName= operSt=available podId=1 routableIpAddr=0.0.0.0 targetMbSn= uid=0 userdom=all
infraCont av adminSt=in-service appId=255 chassis= dn= fabricDomain=ACI~Fabric1 lcOwn=local name= size=1
firmwareRunning running descr= internalLabel= lcOwn=local mode=normal peVer= ts= type=switch version=
firmwareCtrlrRunning ctrlrrunning descr= internalLabel= lcOwn=local mode=normal ts= type=controller version=
fabricLinkCont lnkcnt-{id} id= lcOwn=local
fabricLink lnk-{n1}-{s1}-{p1}-to-{n2}-{s2}-{p2} lcOwn=local linkState=ok n1= n2= operSt=up p1= p2= s1= s2= wiringIssues=
fabricPathEp pathep-[{name}] lcOwn=local name= pathT=leaf
fabricPathEpCont paths-{nodeId} lcOwn=local nodeId=
physDomP phys-{name} @c name= nameAlias= ownerKey= ownerTag=
vmmDomP dom-{name} @c name= nameAlias= accessMode=read-write arpLearning=disabled enfPref=hw mode=default
vmmProvP vmmp-{vendor} @c vendor= name=
l3extDomP l3dom-{name} @c name= nameAlias= ownerKey= ownerTag=
l2extDomP l2dom-{name} @c name= nameAlias= ownerKey= ownerTag=
fvnsVlanInstP vlanns-[{name}]-{allocMode} @c @n allocMode=dynamic
fvnsVxlanInstP vxlanns-{name} @c @n
fvnsEncapBlk from-[{from}]-to-[{to}] @c descr= name= nameAlias= allocMode=inherit from= role=external to=
vpcInst inst adminSt=enabled lcOwn=local name=
vpcDom dom-{id} id= lcOwn=local localMAC= operRole=election-not-done peerIp=0.0.0.0 peerSt=down sysMac= virtualIp=0.0.0.0
vpcIf if-{id} id= lcOwn=local localOperSt=up remoteOperSt=up usage=epg
tagAnnotation annotationKey-[{key}] key= value= userdom=all
tagTag tagKey-{key} key= value= userdom=all
tagInst tag-{name} @c descr= name=
vlanCktEp vlan-[{encap}] adminSt=active createTs= encap= epUpSeqNum=0 epgDn= fabEncap= id=0 lcOwn=local name= operSt=up pcTag=1
commHttps https @c @n adminSt=enabled globalThrottleRate=10000 globalThrottleSt=disabled globalThrottleUnit=r/s port=443
eqptCh ch descr= id=1 lcOwn=local model= operSt=online rev=0 ser= vendor=Cisco~Systems,~Inc
eqptPsu psu id= lcOwn=local model= operSt=ok ser= vendor=
moCount -
`

// known by name only: the rest of table 5.5, and common statistics classes.
const knownOnly = `eqptBoard eqptLC eqptSupC eqptFt eqptFan firmwareCardRunning eqptFtSlot eqptLCSlot eqptPsuSlot
eqptSupCSlot topoctrlLbP fabricLooseNode compHv compVm compNic fabricLooseLink fabricProtLooseLink pcRsMbrIfs l1RsCdpIfPolCons
l1RsLldpIfPolCons cdpIfPol lldpIfPol arpInst arpDom arpDomStatsAdj arpDomStatsRx arpDomStatsTx arpAdjEp arpDb
vpcEntity vpcRsVpcConf l3Ctx l3Inst sviIf l3LbRtdIf ethpmLbRtdIf l2BD fmcastGrp actrlRule actrlFlt actrlEntry
epmIpEp epmMacEp epmRsMacEpToIpEpAtt tunnelIf tagAliasInst aaaDomain aaaLoginDomain aaaUserDomain monEPGPol fabricPathEpCont
infraAccPortP infraHPortS infraPortBlk infraAccBndlGrp infraAccPortGrp infraAttEntityP infraNodeP infraLeafS
fvESg fvEPSelector fvCtxRtSummPol bgpPeerP bgpPeer ospfAdjEp isisAdjEp eqptcapacityEntity procEntity
eqptIngrTotal5min eqptEgrTotal5min eqptIngrTotal15min eqptIngrErrPkts5min procSysCPU5min procSysMem5min
eqptIngrTotalHist5min l2IngrBytesAg15min fvOverallHealthHist5min fabricOverallHealthHist5min`

var supers = map[string][]string{
	"faultInfo": {"faultInst", "faultDelegate"},
	"fvEPg":     {"fvAEPg", "l3extInstP", "l2extInstP"},
	"fvATg":     {"fvAEPg", "l3extInstP", "l2extInstP"},
	"l1If":      {"l1PhysIf", "pcAggrIf"},
	"fvEp":      {"fvCEp", "fvStCEp"},
	"infraDomP": {"physDomP", "vmmDomP", "l3extDomP", "l2extDomP"},
	"aaaRecord": {"aaaModLR", "aaaSessionLR"},
}

func builtinClasses() map[string]*class {
	m := map[string]*class{}
	for line := range strings.Lines(schema) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		c := newClass(f[0])
		if f[1] != "-" {
			c.rn = parsePattern(f[1])
		}
		for _, a := range f[2:] {
			if a == "@c" {
				c.config = true
			}
			if m, ok := macros[a]; ok {
				for _, a := range strings.Fields(m) {
					n, v, _ := strings.Cut(a, "=")
					c.setDefault(n, v)
				}
				continue
			}
			n, v, _ := strings.Cut(a, "=")
			if n == "dn" {
				continue
			}
			c.setDefault(n, strings.ReplaceAll(v, "~", " "))
		}
		m[c.name] = c
	}
	for _, n := range []string{"fvRsBd", "fvRsCtx", "fvRsPathAtt", "fvRsDomAtt", "fvRsCons", "fvRsProv", "fvRsCustQosPol", "fvRsTenantMonPol", "vzRsSubjFiltAtt"} {
		m[n].config = true
	}
	for n := range strings.FieldsSeq(knownOnly) {
		if m[n] == nil {
			m[n] = newClass(n)
		}
	}
	for s, members := range supers {
		for _, n := range members {
			m[n].super = append(m[n].super, s)
		}
	}
	return m
}
