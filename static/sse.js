// A parser of Server-Sent Events. EventSource would hide why a stream was
// refused, and its events come one by one on the page's own thread.

export class Parser {
  #rest = "";
  #data = [];
  #type = "";
  #id = "";

  // push takes a piece of the stream and returns its whole messages:
  // {type, data, id}, and {type: "comment"} for a comment, which proves life.
  push(text) {
    const out = [];
    this.#rest += text;
    let from = 0;
    for (;;) {
      const at = this.#rest.indexOf("\n", from);
      if (at < 0) break;
      const end = at > from && this.#rest[at - 1] === "\r" ? at - 1 : at;
      this.#line(this.#rest.slice(from, end), out);
      from = at + 1;
    }
    this.#rest = this.#rest.slice(from);
    return out;
  }

  #line(line, out) {
    if (line === "") {
      if (this.#data.length > 0) out.push({ type: this.#type || "message", data: this.#data.join("\n"), id: this.#id });
      this.#data = [];
      this.#type = "";
      return;
    }
    if (line[0] === ":") {
      out.push({ type: "comment", data: "", id: this.#id });
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }
}
