// Classes that people watch, what each is for, and which attributes a list of
// its objects should show.

export const classes = [
  ["faultInst", "Faults: what is wrong now, with severity and life cycle", ["severity", "lc", "code", "descr", "cause", "lastTransition"], "Health"],
  ["faultDelegate", "Faults shown on a visible object in place of an internal one", ["severity", "lc", "code", "descr", "affected"], "Health"],
  ["healthInst", "Health scores of objects", ["cur", "prev", "maxSev", "updTs"], "Health"],
  ["fabricHealthTotal", "Health of the fabric and its pods", ["cur", "prev", "maxSev"], "Health"],
  ["aaaModLR", "Audit log: who changed what", ["user", "ind", "affected", "descr", "created"], "Changes"],
  ["eventRecord", "The APIC's own event log", ["severity", "code", "descr", "affected", "created"], "Changes"],
  ["aaaSessionLR", "Logins and logouts", ["user", "descr", "created"], "Changes"],
  ["fvTenant", "Tenants", ["name", "descr"], "Tenants"],
  ["fvAEPg", "Endpoint groups (EPG)", ["name", "configSt", "pcTag", "descr"], "Tenants"],
  ["fvBD", "Bridge domains", ["name", "arpFlood", "unicastRoute", "mac", "descr"], "Tenants"],
  ["fvCtx", "VRFs", ["name", "pcEnfPref", "scope", "descr"], "Tenants"],
  ["fvAp", "Application profiles", ["name", "descr"], "Tenants"],
  ["fvSubnet", "Gateway subnets", ["ip", "scope", "preferred"], "Tenants"],
  ["fvRsBd", "Which bridge domain an EPG uses", ["tnFvBDName", "state"], "Tenants"],
  ["fvRsPathAtt", "Static ports of EPGs", ["tDn", "encap", "mode"], "Tenants"],
  ["fvRsDomAtt", "Domains of EPGs", ["tDn", "instrImedcy"], "Tenants"],
  ["fvRsCons", "Contracts that EPGs consume", ["tnVzBrCPName"], "Tenants"],
  ["fvRsProv", "Contracts that EPGs provide", ["tnVzBrCPName"], "Tenants"],
  ["vzBrCP", "Contracts", ["name", "scope", "descr"], "Tenants"],
  ["vzFilter", "Filters of contracts", ["name"], "Tenants"],
  ["vzEntry", "Entries of filters: protocols and ports", ["name", "prot", "dFromPort", "dToPort"], "Tenants"],
  ["l3extOut", "L3Outs: routed connections outside", ["name", "enforceRtctrl"], "Tenants"],
  ["l3extInstP", "External EPGs", ["name", "pcTag"], "Tenants"],
  ["fvCEp", "Endpoints by MAC: what is learned, moves and leaves", ["mac", "encap", "lcC", "fabricPathDn"], "Endpoints"],
  ["fvIp", "IP addresses of endpoints", ["addr", "fabricPathDn"], "Endpoints"],
  ["fabricNode", "Switches and controllers: joined, active, gone", ["id", "name", "role", "fabricSt", "version"], "Fabric"],
  ["topSystem", "The system of each node: state, uptime, release", ["name", "role", "state", "version", "lastResetReason"], "Fabric"],
  ["l1PhysIf", "Ports as configured", ["id", "adminSt", "speed", "usage", "descr"], "Fabric"],
  ["ethpmPhysIf", "Ports as they are: up, down, speed", ["operSt", "operStQual", "operSpeed", "lastLinkStChg"], "Fabric"],
  ["pcAggrIf", "Port channels", ["id", "name", "pcMode"], "Fabric"],
  ["fabricLink", "Cabling between switches", ["n1", "n2", "linkState"], "Fabric"],
  ["lldpAdjEp", "LLDP neighbours", ["sysName", "portDesc"], "Fabric"],
  ["cdpAdjEp", "CDP neighbours", ["sysName", "platId", "portId"], "Fabric"],
  ["infraWiNode", "Members of the controller cluster", ["nodeName", "health", "operSt"], "Fabric"],
  ["firmwareRunning", "Release that switches run", ["version", "mode"], "Fabric"],
  ["firmwareCtrlrRunning", "Release that controllers run", ["version"], "Fabric"],
  ["vpcDom", "vPC domains", ["peerSt", "role"], "Fabric"],
].map(([name, about, attributes, group]) => ({ name, about, attributes, group }));

export const byClass = new Map(classes.map((c) => [c.name, c]));

// Values that attributes have, for completion before any was seen.
export const values = {
  status: ["created", "modified", "deleted"],
  origin: ["live", "snapshot", "resync"],
  severity: ["critical", "major", "minor", "warning", "info", "cleared"],
  lc: ["soaking", "soaking-clearing", "raised", "raised-clearing", "retaining"],
  operSt: ["up", "down"],
  adminSt: ["up", "down"],
  ack: ["yes", "no"],
  domain: ["access", "external", "framework", "infra", "management", "security", "tenant"],
  ind: ["creation", "modification", "deletion"],
  fabricSt: ["active", "inactive", "disabled", "unknown"],
  configSt: ["applied", "failed-to-apply"],
  role: ["leaf", "spine", "controller"],
};

export const attributes = [...new Set(["name", "descr", "severity", "lc", "code", "cause", "user", "affected", ...classes.flatMap((c) => c.attributes)])];

// Views that are worth one key press.
export const presets = [
  ["Serious faults", 'class == "faultInst" and object.severity in ["critical", "major"]'],
  ["Faults raised or cleared", 'class == "faultInst" and "lc" in changes'],
  ["Who changed what", 'class in ["aaaModLR", "aaaSessionLR"]'],
  ["Configuration of tenants", 'tenant != "" and class startsWith "fv" and not (class in ["fvCEp", "fvIp"])'],
  ["Deleted", 'status == "deleted"'],
  ["Endpoints", 'class in ["fvCEp", "fvIp"]'],
  ["Ports going up and down", '"operSt" in changes'],
  ["Nodes", 'class in ["fabricNode", "topSystem", "infraWiNode"]'],
  ["Not the snapshot", 'origin != "snapshot"'],
  ["Found after an outage", 'origin == "resync"'],
];
