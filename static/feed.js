// The page's end of the live stream.

export class Feed {
  #worker;
  #generation = 0;

  constructor(on) {
    this.on = on;
    this.#worker = new Worker(new URL("./feed-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      if (data.generation !== this.#generation) return; // of a stream that has been replaced
      if (data.rows) on.rows(data.rows);
      if (data.state) on.state(data);
      if (data.status) on.status(data.status);
      if (data.refused) on.refused(data.refused);
      if (data.broken) console.warn("an entry could not be read:", data.broken);
    };
    this.#worker.onerror = (e) => on.state({ state: "broken", reason: e.message || "the script of the stream could not be loaded; reload the page" });
  }

  // start follows what query selects, behind the entry with the id after.
  start(query, after) {
    this.#generation++;
    this.#worker.postMessage({ start: { query: String(query), after, generation: this.#generation } });
  }

  stop() {
    this.#generation++;
    this.#worker.postMessage({ stop: true });
  }

  knows(severities) { this.#worker.postMessage({ severities }); }
}
