// The columns of the list of events.

export const all = [
  { id: "time", label: "Time", width: "7.4rem", about: "when acitap received it" },
  { id: "status", label: "Status", width: "6.1rem", about: "created, modified, deleted" },
  { id: "severity", label: "Severity", width: "6.2rem", about: "of faults; else it stands before what changed" },
  { id: "class", label: "Class", width: "minmax(5.6rem,8.4rem)", about: "APIC class" },
  { id: "tenant", label: "Tenant", width: "minmax(4rem,8rem)", about: "from the DN" },
  { id: "node", label: "Node", width: "4rem", about: "from the DN" },
  { id: "dn", label: "Object", width: "minmax(12rem,1.15fr)", about: "distinguished name" },
  { id: "what", label: "What changed", width: "minmax(9rem,1.5fr)", about: "old and new values" },
  { id: "origin", label: "Origin", width: "5.6rem", about: "live, snapshot, resync" },
  { id: "fabric", label: "Fabric", width: "6rem", about: "name of the fabric" },
  { id: "id", label: "Id", width: "10rem", about: "place on the timeline" },
];

export const usual = ["time", "status", "class", "dn", "what"];
const byId = new Map(all.map((c) => [c.id, c]));

const order = all.map((c) => c.id);

// added returns the columns with one more, at its usual place among those that
// stand there, whatever their order.
export function added(ids, id) {
  const rank = (x) => order.indexOf(x) + 1 || 99;
  const at = ids.findLastIndex((x) => rank(x) < rank(id)) + 1;
  return [...ids.slice(0, at), id, ...ids.slice(at)];
}

// width is the width of a column in a grid's template.
export const width = (c, widths) => widths[c.id] > 0 ? `${Math.min(Math.max(Math.round(widths[c.id]), 40), 3000)}px` : c.width;

// chosen returns the columns that prefs name; "attr:NAME" is one of an
// attribute of the event.
export function chosen(ids) {
  const list = (ids ?? usual).map((id) => byId.get(id) ?? (id.startsWith("attr:")
    ? { id, label: id.slice(5), width: "minmax(5rem,9rem)", attribute: id.slice(5) } : null)).filter(Boolean);
  return list.length > 0 ? list : chosen(usual);
}
