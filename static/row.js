// A row is what the list holds of an entry: small, with the text of the entry
// beside it, from which all else can be read when somebody looks.

import { byImportance, gist, short } from "./format.js";

// severities remembers the severity of faults by DN, because a modified event
// has only what changed.
const severities = new Map();

export function remember(dn, severity) {
  if (severities.size > 50_000) severities.clear();
  severities.set(dn, severity);
}

const most = 6;

export function toRow(text, entry = JSON.parse(text)) {
  const t = Date.parse(entry.time);
  if (entry.kind === "gap") {
    return { id: entry.id, t, kind: "gap", cls: (entry.classes ?? []).join(", "), raw: text, fab: entry.fabric };
  }
  const a = entry.attributes ?? {};
  const path = entry.path ?? {};
  let sev = a.severity ?? "";
  const fault = entry.class.startsWith("fault");
  if (fault) {
    if (sev) remember(entry.dn, sev);
    else sev = severities.get(entry.dn) ?? "";
    if (entry.status === "deleted") severities.delete(entry.dn);
  }
  const changed = entry.changes ? Object.keys(entry.changes) : null;
  let chg = null, more = 0;
  if (changed && changed.length > 0) {
    changed.sort(byImportance);
    more = Math.max(changed.length - most, 0);
    chg = changed.slice(0, most).map((n) => [n, cut(short(entry.changes[n].old)), cut(short(entry.changes[n].new))]);
  }
  return {
    id: entry.id, t, kind: "event", cls: entry.class, dn: entry.dn, st: entry.status, org: entry.origin, fab: entry.fabric,
    sev, ten: path.tenant ?? "", node: path.node ?? "", chg, more, gist: chg ? "" : cut(gist(entry), 400), raw: text,
  };
}

const cut = (s, n = 120) => { const text = String(s ?? ""); return text.length > n ? text.slice(0, n - 1) + "…" : text; };
