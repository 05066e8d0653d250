// What this browser remembers: theme, zone, columns, saved views.

const key = "acitap";

const defaults = {
  theme: "", // dark, light, or the system's choice
  utc: true,
  columns: null, // of the events, null for the usual ones
  widths: {}, // of columns, in pixels, where they were chosen
  by: "status", // the histogram's colours
  span: 900_000, // of the histogram, in milliseconds
  saved: [], // {name, url}
  wrap: false,
};

let stored;
try { stored = JSON.parse(localStorage.getItem(key) ?? "{}"); } catch { stored = {}; }

export const prefs = { ...defaults, ...(stored && typeof stored === "object" ? stored : {}) };
if (!Array.isArray(prefs.saved)) prefs.saved = [];
if (!Array.isArray(prefs.columns)) prefs.columns = null;
if (!prefs.widths || typeof prefs.widths !== "object" || Array.isArray(prefs.widths)) prefs.widths = {};
prefs.utc = Boolean(prefs.utc);
if (!(prefs.span > 0)) prefs.span = defaults.span;

const listeners = new Set();

export function set(patch) {
  Object.assign(prefs, patch);
  try { localStorage.setItem(key, JSON.stringify(prefs)); } catch { /* kept for this visit only */ }
  for (const f of listeners) f(patch);
}

export const onChange = (f) => listeners.add(f);
