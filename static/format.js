// How things are written: times, numbers, names. Pure, so that they can be
// tested without a browser.

const pad = (n, w = 2) => String(n).padStart(w, "0");

// clock writes a time of day from milliseconds since 1970.
export function clock(ms, utc, fraction = true) {
  const d = new Date(ms);
  const [h, m, s, f] = utc
    ? [d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds(), d.getUTCMilliseconds()]
    : [d.getHours(), d.getMinutes(), d.getSeconds(), d.getMilliseconds()];
  return `${pad(h)}:${pad(m)}:${pad(s)}${fraction ? "." + pad(f, 3) : ""}`;
}

export function day(ms, utc) {
  const d = new Date(ms);
  return utc
    ? `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`
    : `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
}

// stamp writes a whole moment with its zone.
export function stamp(ms, utc) {
  if (utc) return `${day(ms, true)} ${clock(ms, true)} UTC`;
  const off = -new Date(ms).getTimezoneOffset();
  const zone = `${off < 0 ? "−" : "+"}${pad(Math.trunc(Math.abs(off) / 60))}:${pad(Math.abs(off) % 60)}`;
  return `${day(ms, false)} ${clock(ms, false)} ${zone}`;
}

export function duration(ms) {
  const s = Math.abs(ms) / 1000;
  if (s < 1) return `${Math.round(Math.abs(ms))} ms`;
  if (s < 10) return `${Math.round(s * 10) / 10} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

export function ago(ms, now) {
  if (!ms || !(ms > 0)) return "never"; // the zero time of Go lies before 1970
  const d = now - ms;
  if (Math.abs(d) < 1500) return "now";
  return d >= 0 ? `${duration(d)} ago` : `in ${duration(d)}`;
}

export function count(n) {
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

export function rate(perSecond) {
  if (perSecond === 0) return "0/s";
  if (perSecond < 0.1) return `${count(Math.max(1, perSecond * 60))}/min`;
  return perSecond < 10 ? `${perSecond.toFixed(1)}/s` : `${count(perSecond)}/s`;
}

// splitDN returns the relative names of a DN; a slash within brackets belongs
// to a name.
export function splitDN(dn) {
  const out = [];
  let depth = 0, start = 0;
  for (let i = 0; i < dn.length; i++) {
    const c = dn[i];
    if (c === "[") depth++;
    else if (c === "]") { if (depth > 0) depth--; } else if (c === "/" && depth === 0) {
      out.push(dn.slice(start, i));
      start = i + 1;
    }
  }
  out.push(dn.slice(start));
  return out;
}

export function parentDN(dn) {
  const rns = splitDN(dn);
  return dn.slice(0, Math.max(dn.length - rns.at(-1).length - 1, 0));
}

// Prefixes of relative names and what they are called, as the API's path does.
const kinds = [
  ["tn-", "tenant"], ["ctx-", "vrf"], ["BD-", "bd"], ["ap-", "ap"], ["epg-", "epg"], ["esg-", "esg"], ["subnet-", "subnet"],
  ["brc-", "contract"], ["flt-", "filter"], ["out-", "l3out"], ["l2out-", "l2out"], ["instP-", "externalEpg"], ["cep-", "endpoint"],
  ["ip-", "ip"], ["pod-", "pod"], ["node-", "node"], ["paths-", "node"], ["protpaths-", "node"], ["phys-[", "interface"],
  ["aggr-[", "interface"], ["if-[", "interface"], ["pathep-[", "interface"], ["fault-", "fault"], ["vmmp-", "vmm"],
  ["dom-", "domain"], ["user-", "user"],
];

const spoken = {
  tenant: "tenant", vrf: "VRF", bd: "BD", ap: "app profile", epg: "EPG", esg: "ESG", subnet: "subnet", contract: "contract", filter: "filter",
  l3out: "L3Out", l2out: "L2Out", externalEpg: "external EPG", endpoint: "endpoint", ip: "IP", pod: "pod", node: "node",
  interface: "interface", fault: "fault", vmm: "VMM", domain: "domain", user: "user",
};

// crumbs says of each part of a DN what it is, and the expression of the filter
// language for everything that belongs to it.
export function crumbs(dn) {
  let at = "";
  const seen = new Map();
  return splitDN(dn).map((rn) => {
    at = at ? `${at}/${rn}` : rn;
    const kind = kinds.find(([prefix]) => rn.startsWith(prefix));
    let name = rn, label = "";
    if (kind) {
      name = rn.slice(kind[0].length);
      if (kind[0].endsWith("[")) name = name.replace(/\]$/, "");
      else if (name.startsWith("[") && name.endsWith("]")) name = name.slice(1, -1);
      label = spoken[kind[1]];
    }
    let expr = `(dn == ${JSON.stringify(at)} or dn startsWith ${JSON.stringify(at + "/")})`;
    // The path knows more than the DN's beginning: an audit record of a tenant
    // has the tenant in brackets.
    if (kind && name && !seen.has(kind[1])) {
      seen.set(kind[1], name);
      const place = ["tenant", "node"].includes(kind[1]) ? [[kind[1], name]]
        : [...seen].filter(([k]) => k !== "pod" || kind[1] === "pod");
      expr = place.map(([k, n]) => `${k} == ${JSON.stringify(n)}`).join(" and ");
    }
    return { rn, dn: at, kind: kind?.[1] ?? "", label, name, expr };
  });
}

// Attributes that say most, first.
const important = ["severity", "lc", "operSt", "adminSt", "state", "fabricSt", "health", "cur", "configSt", "descr", "name", "operStQual", "encap", "ip", "changeSet"];
const rank = new Map(important.map((n, i) => [n, i]));
// Those that follow from others, last.
for (const n of ["lastTransition", "lastLinkStChg", "updTs", "created", "modTs", "txId", "highestSeverity", "prevSeverity", "occur"]) rank.set(n, 200);
export const byImportance = (a, b) => (rank.get(a) ?? 99) - (rank.get(b) ?? 99);

// short writes the DN of a port as people say it: 101 eth1/14.
export function short(value) {
  const m = /^topology\/pod-\d+\/(?:prot)?paths-([\d-]+)\/(?:extpaths-\d+\/)?pathep-\[(.+)\]$/.exec(value);
  return m ? `${m[1]} ${m[2]}` : value;
}

// noise is set by the APIC itself in nearly every object.
const noise = new Set(["dn", "rn", "status", "childAction", "modTs", "lcOwn", "uid", "monPolDn", "userdom", "annotation", "extMngdBy", "ownerKey", "ownerTag", "nameAlias"]);

// gist is one line about an event that has no changes.
export function gist(ev) {
  const a = ev.attributes ?? {};
  if (ev.status === "deleted") return "";
  if (a.user && a.descr) return `${a.user}: ${a.descr}${a.changeSet ? ` · ${a.changeSet.replace(/ \(Old: ?(.*?), New: ?(.*?)\)/g, " $1 → $2")}` : ""}`; // of the audit log
  if (a.descr) return a.descr;
  if (ev.class === "healthInst" && a.cur) return `health ${a.cur}${a.prev ? `, was ${a.prev}` : ""}`;
  const shown = Object.keys(a).filter((n) => !noise.has(n) && a[n] !== "").sort(byImportance).slice(0, 4);
  return shown.map((n) => `${n} ${short(a[n])}`).join(" · ");
}

const csvQuote = (s) => /[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s;

export const csvFields = ["id", "time", "kind", "fabric", "class", "dn", "path", "status", "origin", "attributes", "changes"];

// csv writes entries as lines; nested values are JSON, as the API does.
export function csv(entries, fields = csvFields) {
  const lines = entries.map((e) => fields.map((f) => {
    const v = f === "kind" ? e.kind ?? "event" : e[f];
    return csvQuote(v == null ? "" : typeof v === "object" ? JSON.stringify(v) : String(v));
  }).join(","));
  return [fields.join(","), ...lines].join("\r\n") + "\r\n";
}

// shell quotes an argument for a POSIX shell.
export const shell = (s) => `'${s.replaceAll("'", `'\\''`)}'`;

export function curl(base, path, params = new URLSearchParams()) {
  const parts = [`curl -sG ${shell(base + path)}`];
  for (const [k, v] of params) parts.push(`--data-urlencode ${shell(`${k}=${v}`)}`);
  return parts.join(" \\\n  ");
}

// dnPath writes a DN as part of a URL's path.
export const dnPath = (dn) => encodeURIComponent(dn).replaceAll("%2F", "/");

// time reads what the API writes; NaN becomes 0.
export const time = (s) => { const t = Date.parse(s ?? ""); return t > 0 ? t : 0; };
