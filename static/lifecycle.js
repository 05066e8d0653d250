// The life of a fault: soaking, raised, clearing, retaining.

import { h } from "./dom.js";

export const phases = ["soaking", "raised", "clearing", "retaining"];

// phase maps APIC's lc to one of the four.
export function phase(lc) {
  if (lc === "soaking" || lc === "raised" || lc === "retaining") return lc;
  return lc === "soaking-clearing" || lc === "raised-clearing" ? "clearing" : "";
}

const meaning = {
  soaking: "seen, waiting whether it stays",
  "soaking-clearing": "went away while soaking",
  raised: "active",
  "raised-clearing": "went away, waiting before it clears",
  retaining: "cleared, kept for the record",
};

export function lifecycle(lc, attrs = {}) {
  const p = phase(lc);
  if (!p) return null;
  return h("div", { class: "lifecycle" }, steps(lc), h("span", { class: "hint" }, `${lc}: ${meaning[lc] ?? ""}${attrs.occur && attrs.occur !== "1" ? `; ${attrs.occur} times` : ""}`));
}

// steps is the small sign for a table: four marks, the one that it is in filled.
export function steps(lc) {
  const p = phase(lc);
  return h("span", { class: `steps lc-${p || "none"}` }, h("span", { class: "marks", "aria-hidden": "true" }, phases.map((x) => h("span", { class: x === p ? "mark on" : "mark" }))), h("span", { class: "lc-word" }, lc));
}
