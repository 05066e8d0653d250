// The filter language as the page needs it: tokens, completion, and adding and
// taking away conditions. What a filter means and whether it is right says the
// server alone; the language is the one of the API and of webhooks.

const tokenPattern = /\s+|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|`[^`]*`?|\d[\w.:]*|[A-Za-z_$][\w$]*|==|!=|<=|>=|&&|\|\||\?\?|\.\.|\?\.|[-+*/%^<>!?:.,()[\]{}#|;=]|./gsu;
const words = new Set(["and", "or", "not", "in", "contains", "startsWith", "endsWith", "matches", "true", "false", "nil"]);
const comparing = new Set(["==", "!=", "<", ">", "<=", ">=", "contains", "startsWith", "endsWith", "matches"]);

// tokens splits a filter: text, kind (space, string, number, word, name, op) and place.
export function tokens(text) {
  const out = [];
  for (const m of text.matchAll(tokenPattern)) {
    const t = m[0];
    let kind = "op";
    if (/^\s/.test(t)) kind = "space";
    else if (/^["'`]/.test(t)) kind = "string";
    else if (/^\d/.test(t)) kind = "number";
    else if (/^[A-Za-z_$]/.test(t)) kind = words.has(t) ? "word" : "name";
    out.push({ text: t, kind, from: m.index, to: m.index + t.length });
  }
  return out;
}

export const quote = (s) => JSON.stringify(String(s));

// attribute writes the attribute of an object as the language has it.
export const attribute = (name, set = "object") => /^[A-Za-z_]\w*$/.test(name) && !words.has(name) ? `${set}.${name}` : `${set}[${quote(name)}]`;

// conditions splits a filter at its top-level "and"; null when a top-level
// "or" or "?" stands in the way.
export function conditions(text) {
  const out = [];
  let depth = 0, from = 0;
  for (const t of tokens(text)) {
    if ("([{".includes(t.text)) depth++;
    else if (")]}".includes(t.text)) depth--;
    else if (depth === 0 && (t.text === "or" || t.text === "||" || t.text === "?" || t.text === "??")) return null;
    else if (depth === 0 && (t.text === "and" || t.text === "&&")) {
      out.push(text.slice(from, t.from).trim());
      from = t.to;
    }
  }
  out.push(text.slice(from).trim());
  return out.filter(Boolean);
}

// negated writes the opposite of one condition.
function negated(c) {
  const list = tokens(c);
  const operators = list.filter((t) => t.text === "==" || t.text === "!=");
  if (list[0]?.kind === "name" && operators.length === 1 && !list.some((t) => t.kind === "word" || t.text === "(")) {
    const at = operators[0];
    return c.slice(0, at.from) + (at.text === "==" ? "!=" : "==") + c.slice(at.to);
  }
  const inner = /^not \((.*)\)$/s.exec(c);
  return inner && conditions(c)?.length === 1 ? inner[1] : `not (${c})`;
}

// add joins a condition to a filter by and. One that stands there already is
// not added again, and its opposite is taken away.
export function add(text, condition) {
  const list = conditions(text);
  if (list === null) return `(${text.trim()}) and ${condition}`;
  if (list.includes(condition)) return text.trim();
  const parts = conditions(condition);
  const kept = list.filter((c) => c !== negated(condition));
  if (parts === null && list.length > 0) condition = `(${condition})`;
  return [...kept, condition].join(" and ");
}

// exclude joins the opposite of a condition.
export function exclude(text, condition) {
  return add(text, conditions(condition)?.length === 1 && !/^\(.*\)$/s.test(condition) ? negated(condition) : `not ${/^\(.*\)$/s.test(condition) ? condition : `(${condition})`}`);
}

// plain reports whether a text is words to search for rather than an
// expression, so that typing "web01" does what one expects.
export function plain(text) {
  const t = tokens(text).filter((k) => k.kind !== "space");
  if (t.length === 0 || /^[("!]/.test(text.trim())) return false;
  return !t.some((k) => k.kind === "word" || k.kind === "string" || comparing.has(k.text) || k.text === "==" || k.text === "(" || k.text === "=");
}

// search writes words to search for as a filter.
export function search(text) {
  const q = quote(text.trim().toLowerCase());
  return `(lower(dn) contains ${q} or lower(object.name) contains ${q} or lower(object.descr) contains ${q})`;
}

export const fields = [
  ["class", "APIC class, as fvBD"], ["dn", "distinguished name"], ["status", "created, modified, deleted"],
  ["origin", "live, snapshot, resync"], ["tenant", "of the DN"], ["node", "of the DN, as 101"],
  ["object.", "attribute of the whole object"], ["changes.", "old and new value of what changed"],
  ["attributes.", "attribute as sent with the event"], ["time", "when acitap received it"], ["fabric", "name of the fabric"],
  ["vrf", "of the DN"], ["bd", "of the DN"], ["ap", "of the DN"], ["epg", "of the DN"], ["esg", "of the DN"], ["subnet", "of the DN"],
  ["contract", "of the DN"], ["filter", "of the DN"], ["l3out", "of the DN"], ["l2out", "of the DN"], ["externalEpg", "of the DN"],
  ["endpoint", "of the DN"], ["ip", "of the DN"], ["pod", "of the DN"], ["interface", "of the DN, as eth1/1"], ["fault", "code, of the DN"],
  ["vmm", "of the DN"], ["domain", "of the DN"], ["user", "of the DN"], ["id", "place on the timeline"],
];

const operators = [
  ["==", "is"], ["!=", "is not"], ["in [", "is one of"], ["contains", "has this text in it"], ["startsWith", "begins with"],
  ["endsWith", "ends with"], ["matches", "regular expression"],
];

const functions = [["lower(", "in small letters"], ["int(", "as a number"], ["len(", "length"], ["now()", "the time now"]];

// complete says what may stand at a place of a filter. vocabulary has
// attributes(): names, and values(field): what was seen.
// The answer is {from, to, items: [{insert, label, about}]}.
export function complete(text, at, vocabulary) {
  const before = tokens(text.slice(0, at));
  let last = before.at(-1);
  const meaningful = before.filter((t) => t.kind !== "space");

  // Inside a string that is still open: values.
  const open = last?.kind === "string" && (last.text.length === 1 || last.text[0] !== last.text.at(-1));
  if (open) {
    const field = fieldBefore(meaningful.slice(0, -1));
    const typed = last.text.slice(1);
    const rest = /^[^"\s)\]]*"?/.exec(text.slice(at))[0];
    return answer(last.from, at + (rest.endsWith('"') ? rest.length : 0), typed, field ? vocabulary.values(field).map((v) => [quote(v), "", v]) : []);
  }

  // A dotted name at the cursor: object.sev
  const word = /[A-Za-z_$][\w$]*(?:\.[\w$]*)*$/.exec(text.slice(0, at))?.[0] ?? "";
  const from = at - word.length;
  const previous = before.filter((t) => t.kind !== "space" && t.to <= from);
  const prior = previous.at(-1);
  if (word.includes(".")) {
    const dot = word.lastIndexOf(".");
    const set = word.slice(0, dot), typed = word.slice(dot + 1);
    if (["object", "attributes"].includes(set)) return answer(from + dot + 1, at, typed, vocabulary.attributes().map((n) => [n, ""]));
    if (set === "changes") return answer(from + dot + 1, at, typed, vocabulary.attributes().map((n) => [n + ".", "then old or new"]));
    if (/^changes\.\w+$/.test(set)) return answer(from + dot + 1, at, typed, [["old", "value before"], ["new", "value after"]]);
    if (set === "path") return answer(from + dot + 1, at, typed, fields.filter(([, about]) => about.includes("of the DN")));
    return answer(at, at, "", []);
  }

  if (prior && (comparing.has(prior.text) || prior.text === "[" || prior.text === "," && inList(previous))) {
    const field = fieldBefore(previous);
    const items = field ? vocabulary.values(field).map((v) => [quote(v), "", v]) : [];
    return answer(from, at, word, items);
  }
  if (prior && prior.text === "in") return answer(from, at, word, [["[", "a list"], ["changes", "an attribute is among the changes"], ["object", "the object has an attribute"]]);
  const operand = !prior || ["and", "or", "not", "&&", "||", "!", "("].includes(prior.text);
  if (operand) {
    const all = [...fields, ...(word ? functions : []), ...(prior && prior.text !== "not" ? [] : [["not ", "the opposite"]])];
    return answer(from, at, word, all);
  }
  if (prior.kind === "name" || prior.text === "]" && !inListEnd(previous)) {
    return answer(from, at, word, operators.map(([o, a]) => [o.endsWith("[") ? o : o + " ", a]));
  }
  if (prior.kind === "string" && inList(previous)) return answer(from, at, word, [[", ", "one more"], ["]", "end of the list"]]);
  return answer(from, at, word, [["and ", "both"], ["or ", "either"]]);

  function answer(a, b, typed, list) {
    const low = typed.toLowerCase();
    const items = list.map(([insert, about, label]) => ({ insert, about, label: label ?? insert.trim() }));
    const hit = (i) => i.label.toLowerCase().indexOf(low);
    const items2 = low
      ? items.filter((i) => hit(i) >= 0 && i.label.toLowerCase() !== low || i.insert.endsWith(" ") && i.label === typed)
        .sort((x, y) => (hit(x) === 0 ? 0 : 1) - (hit(y) === 0 ? 0 : 1))
      : items;
    return { from: a, to: b, items: items2.slice(0, 60) };
  }
}

// inList reports whether the tokens end within the brackets of "in [".
function inList(list) {
  for (let i = list.length - 1; i >= 0; i--) {
    if (list[i].text === "]") return false;
    if (list[i].text === "[") return list[i - 1]?.text === "in";
  }
  return false;
}

function inListEnd(list) {
  for (let i = list.length - 2; i >= 0; i--) if (list[i].text === "[") return list[i - 1]?.text === "in";
  return false;
}

// fieldBefore returns what the value at the end of the tokens is compared with.
function fieldBefore(list) {
  let i = list.length - 1;
  if (inList(list)) {
    while (i >= 0 && list[i].text !== "[") i--;
    i--;
  }
  if (i < 0 || !(comparing.has(list[i].text) || list[i].text === "in")) return "";
  i--;
  while (list[i]?.text === ")") i--; // lower(object.name)
  let name = "";
  while (i >= 0 && (list[i].kind === "name" || list[i].text === ".")) name = list[i--].text + name;
  return name;
}

// nearest returns the name that a word is most likely a slip of, "" for none.
export function nearest(word, names) {
  const low = word.toLowerCase();
  let best = "", distance = Math.floor(word.length / 3) + 1;
  for (const n of names) {
    const d = edits(low, n.toLowerCase());
    if (d < distance) [best, distance] = [n, d];
  }
  return best;
}

function edits(a, b) {
  if (Math.abs(a.length - b.length) > 4) return 99;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1), next[j - 1] + 1, row[j] + 1);
    row = next;
  }
  return row[b.length];
}
