// Export of what is filtered, page by page from history.

import { get, local } from "./api.js";
import { toast } from "./dom.js";
import { count, csv, curl, plural } from "./format.js";
import { copy } from "./dom.js";
import { menu } from "./palette.js";
import { query } from "./state.js";

const most = 200_000;

export function exportMenu(anchor, state, range, held) {
  const run = (format) => () => save(state, range, format);
  menu(anchor, "Export", [
    { heading: `What is filtered, ${range.since ? "from the oldest row to the newest" : "from the beginning"}` },
    { label: "JSON", about: "one document", run: run("json") },
    { label: "NDJSON", about: "one event a line", run: run("ndjson") },
    { label: "CSV", about: "for a spreadsheet", run: run("csv") },
    { label: "Copy as curl", about: `the same ${held > 0 ? plural(held, "row") : "call"} from a shell`, run: () => copy(curl(location.origin, "/events", query(state, { ...range, limit: 10_000 })), "curl command") },
  ]);
}

async function save(state, range, format) {
  const list = [];
  let call = `/events?${query(state, { ...range, limit: 10_000, kind: "event,gap" })}`;
  toast("Reading what is filtered …");
  let more = false;
  try {
    while (call) {
      const answer = await get(call);
      for (const e of answer.events) list.push(e);
      call = answer.next ? local(answer.next) : "";
      if (list.length >= most && call) { more = true; break; }
    }
  } catch (e) {
    toast(`The export stopped: ${e.message}`, "bad");
    return;
  }
  const [text, type] = {
    json: () => [JSON.stringify({ events: list }, null, 1) + "\n", "application/json"],
    ndjson: () => [list.map((e) => JSON.stringify(e)).join("\n") + (list.length > 0 ? "\n" : ""), "application/x-ndjson"],
    csv: () => [csv(list), "text/csv"],
  }[format]();
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const a = document.createElement("a");
  a.href = url;
  a.download = `acitap-${new Date().toISOString().replaceAll(":", "").slice(0, 17)}.${format}`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  toast(more ? `The first ${count(list.length)} events were exported; there are more. Choose a shorter range, or use curl.` : `${plural(list.length, "event")} exported`, more ? "bad" : "");
}
