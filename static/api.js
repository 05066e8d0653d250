// Calls of the HTTP API. A call that fails throws a Problem with the server's
// own words.

export class Problem extends Error {
  constructor(status, body, fallback) {
    super(body?.detail || fallback);
    this.status = status;
    this.errors = body?.errors ?? [];
    this.apic = body?.apic ?? null;
    this.oldest = body?.oldest ?? 0;
  }
}

// skew is how far the server's clock is ahead of this one, in milliseconds.
export let skew = 0;
export const now = () => Date.now() + skew;

async function call(method, path, { params, body, signal, text } = {}) {
  const q = params ? String(params) : "";
  let response;
  try {
    response = await fetch(q ? `${path}${path.includes("?") ? "&" : "?"}${q}` : path, {
      method, signal, cache: "no-store",
      headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Problem(0, null, "acitap does not answer: is it running, and is the network between here and there up?");
  }
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (date) {
    const d = date + 500 - Date.now();
    skew = Math.abs(d) > 2000 ? d : 0;
  }
  if (response.status === 401 && document.visibilityState === "visible") {
    location.assign(`/signin?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  if (!response.ok) {
    let problem = null;
    try { problem = await response.json(); } catch { /* not a problem document */ }
    throw new Problem(response.status, problem, `the server answered ${response.status} ${response.statusText}`);
  }
  if (response.status === 204) return null;
  if (text) return response.text();
  return response.json();
}

export const get = (path, params, options = {}) => call("GET", path, { params, ...options });
export const post = (path, params, body) => call("POST", path, { params, body });
export const patch = (path, body) => call("PATCH", path, { body });
export const del = (path) => call("DELETE", path);

// local takes the call for the next page without its host.
export const local = (next) => { const u = new URL(next, location.href); return u.pathname + u.search; };

// entries reads history until there are as many as asked for, or no more: the
// server may end a page early. The answer has next when there is more.
export async function entries(params, want) {
  let call = `/events?${params}`;
  const events = [];
  for (let pages = 0; call && events.length < want && pages < 40; pages++) {
    const answer = await get(call);
    for (const e of answer.events) events.push(e);
    call = answer.next ? local(answer.next) : "";
  }
  return { events, next: call };
}
