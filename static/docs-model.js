// What the page of the API makes of openapi.json, without a browser, so that
// Node.js can test it.

export const methods = ["get", "post", "patch", "put", "delete"];

// resolve follows a reference within the document.
export function resolve(doc, v) {
  while (v && typeof v.$ref === "string") {
    v = v.$ref.slice(2).split("/").reduce((at, name) => at?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], doc);
  }
  return v;
}

// calls lists the operations with their parameters resolved, in the order of
// the document's tags.
export function calls(doc) {
  const list = [];
  const add = (path, item, kind) => {
    for (const method of methods) {
      const op = item[method];
      if (!op) continue;
      const parameters = [...(item.parameters ?? []), ...(op.parameters ?? [])].map((p) => resolve(doc, p));
      const answers = Object.entries(op.responses).map(([code, r]) => ({ code, ...resolve(doc, r) }));
      const role = op.security?.length === 0 ? "no token" : op["x-role"];
      list.push({ id: op.operationId, tag: op.tags[0], method, path, kind, summary: op.summary, description: op.description ?? "", role, parameters, body: op.requestBody ?? null, answers });
    }
  };
  for (const [path, item] of Object.entries(doc.paths)) add(path, item, "path");
  for (const [name, item] of Object.entries(doc.webhooks ?? {})) add(name, item, "webhook");
  return list;
}

// words says in short what a schema allows.
export function words(doc, schema) {
  const s = resolve(doc, schema);
  if (!s) return "";
  if (s.const !== undefined) return JSON.stringify(s.const);
  if (s.oneOf) return s.oneOf.map((one) => words(doc, one)).join(" or ");
  if (schema.$ref && s.type === "object") return schema.$ref.split("/").at(-1);
  if (s.enum) return s.enum.map((e) => e === null ? "null" : String(e)).join(" | ");
  const types = [s.type ?? "any"].flat();
  let text = types.map((t) => t === "array" ? `list of ${words(doc, s.items ?? {})}` : t).join(" | ");
  if (s.format) text += ` (${s.format})`;
  if (s.minimum !== undefined && s.maximum !== undefined && s.maximum !== Number.MAX_SAFE_INTEGER) text += ` ${s.minimum} to ${s.maximum}`;
  if (s.default !== undefined) text += `, default ${s.default}`;
  return text;
}

// fields lists the fields of an object's schema.
export function fields(doc, schema) {
  const s = resolve(doc, schema);
  return Object.entries(s?.properties ?? {}).map(([name, p]) => ({
    name, kind: words(doc, p), required: (s.required ?? []).includes(name), description: p.description ?? resolve(doc, p)?.description ?? "",
  }));
}

// exampleOf returns an example of a media type, or of its schema.
export function exampleOf(doc, media) {
  if (media.example !== undefined) return media.example;
  if (media.examples) return Object.values(media.examples)[0]?.value;
  const s = resolve(doc, media.schema);
  return s?.examples?.[0];
}

export const show = (v) => typeof v === "string" ? v : JSON.stringify(v, null, 2);

// target builds the path and query of a call. values are texts by place and
// name ("query:limit"); attr.NAME holds NAME=value.
export function target(call, values) {
  let path = call.path;
  const query = [];
  for (const p of call.parameters) {
    const v = (values[`${p.in}:${p.name}`] ?? "").trim();
    if (p.in === "path") {
      // A DN keeps its slashes and brackets, which read better and mean the same.
      const text = p.allowReserved ? encodeURIComponent(v).replaceAll("%2F", "/").replaceAll("%5B", "[").replaceAll("%5D", "]").replaceAll("%3A", ":") : encodeURIComponent(v);
      path = path.replace(`{${p.name}}`, () => text);
    } else if (p.in === "query" && v !== "") {
      if (p.name === "attr.NAME") {
        for (const one of v.split("&")) {
          const [name, ...rest] = one.split("=");
          query.push(`${encodeURIComponent(name.startsWith("attr.") ? name : `attr.${name}`)}=${encodeURIComponent(rest.join("="))}`);
        }
      } else query.push(`${encodeURIComponent(p.name)}=${encodeURIComponent(v).replaceAll("%2C", ",").replaceAll("%2F", "/")}`);
    }
  }
  return path + (query.length ? `?${query.join("&")}` : "");
}

// curl writes a call for a shell. The token is not in it.
export function curl(origin, call, where, body, token) {
  const quote = (s) => `'${s.replaceAll("'", `'\\''`)}'`;
  const parts = ["curl"];
  if (call.path.endsWith("/stream")) parts.push("-N");
  if (/[[\]]/.test(where)) parts.push("-g");
  if (call.method !== "get" && !(call.method === "post" && body)) parts.push("-X", call.method.toUpperCase());
  else if (call.method !== "get" && call.method !== "post") parts.push("-X", call.method.toUpperCase());
  parts.push(quote(origin + where));
  if (token) parts.push("-H", `"Authorization: Bearer $ACITAP_TOKEN"`);
  if (body) parts.push("-H", quote("Content-Type: application/json"), "-d", quote(body));
  return parts.join(" ");
}
