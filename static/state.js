// The URL holds the whole view. Its parameters are those of the API: selectors
// and places mean here what they mean in GET /events.

export const views = ["events", "objects", "subscriptions", "webhooks", "session"];
const selectors = ["class", "dn", "status", "origin", "fabric", "tenant", "node"];

export const isSelector = (name) => selectors.includes(name) || name.startsWith("attr.");

export function parse(search) {
  const q = new URLSearchParams(search);
  const state = {
    view: views.includes(q.get("view")) ? q.get("view") : "events",
    filter: q.get("filter") ?? "",
    selectors: [],
    since: q.get("since") ?? "",
    until: q.get("until") ?? "",
    event: /^\d+$/.test(q.get("event") ?? "") ? Number(q.get("event")) : 0,
    of: q.get("of") ?? "", // the class of the objects view
    object: q.get("object") ?? "",
    sort: q.get("sort") ?? "",
    find: q.get("find") ?? "",
    hook: q.get("hook") ?? "", // the webhook that is open, or new
    edit: q.get("edit") ?? "", // 1: in its form
  };
  for (const [name, value] of q) if (isSelector(name) && value) state.selectors.push([name, value]);
  return state;
}

export function format(state) {
  const q = new URLSearchParams();
  if (state.view !== "events") q.set("view", state.view);
  for (const name of ["of", "filter"]) if (state[name]) q.set(name, state[name]);
  for (const [name, value] of state.selectors) q.append(name, value);
  for (const name of ["since", "until", "sort", "find", "object", "hook", "edit"]) if (state[name]) q.set(name, state[name]);
  if (state.event) q.set("event", String(state.event));
  // What may stand in a query as it is, stays readable in a link.
  const text = q.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",");
  return text ? `/?${text}` : "/";
}

// query makes the parameters of a call that selects what the state does.
export function query(state, more = {}) {
  const q = new URLSearchParams();
  for (const [name, value] of state.selectors) q.append(name, value);
  if (state.filter) q.set("filter", state.filter);
  for (const [name, value] of Object.entries(more)) if (value !== "" && value != null) q.set(name, String(value));
  return q;
}
