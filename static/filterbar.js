// The bar in which a filter is written: colours, completion, and the server's
// words where the mistake is.

import { announce, button, fill, h } from "./dom.js";
import { attribute, complete, nearest, plain, search, tokens } from "./filter.js";

let bars = 0;

export class FilterBar {
  // o: vocabulary, apply(text) → a Problem or null, placeholder, label, extra (nodes).
  constructor(el, o) {
    this.o = o;
    const id = `filter${++bars}`;
    this.id = id;
    this.back = h("div", { class: "filter-back", "aria-hidden": "true" });
    this.input = h("input", {
      class: "filter-input", type: "text", role: "combobox", spellcheck: "false", autocomplete: "off", autocapitalize: "off", autocorrect: "off",
      "aria-label": o.label, "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": `${id}-list`, "aria-describedby": `${id}-error`,
      placeholder: o.placeholder, enterkeyhint: "search",
    });
    this.list = h("ul", { class: "completion", role: "listbox", id: `${id}-list`, "aria-label": "Completion", hidden: true });
    this.error = h("div", { class: "filter-error", id: `${id}-error`, role: "alert", hidden: true });
    this.clear = button({ icon: "close", label: "Take the filter away", onclick: () => { this.input.value = ""; this.submit(); this.input.focus(); } });
    this.chips = h("div", { class: "chips", hidden: true });
    fill(el, h("div", { class: "filter-box" },
      h("span", { class: "filter-sign" }, o.sign ?? null), this.chips,
      h("div", { class: "filter-field" }, this.back, this.input), this.clear, ...(o.extra ?? [])), this.list, this.error);
    this.applied = "";
    this.active = -1;
    this.items = [];
    this.input.addEventListener("input", () => { this.#typed(); this.suggest(); });
    this.input.addEventListener("scroll", () => { this.back.scrollLeft = this.input.scrollLeft; });
    this.input.addEventListener("keydown", (e) => this.#key(e));
    this.input.addEventListener("keyup", (e) => { if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(e.key)) this.suggest(); });
    this.input.addEventListener("focus", () => { if (!this.input.value) this.suggest(); });
    this.input.addEventListener("blur", () => { setTimeout(() => { if (document.activeElement !== this.input) this.#close(); }, 120); });
    this.list.addEventListener("mousedown", (e) => e.preventDefault()); // the focus stays where it is
    this.list.addEventListener("click", (e) => {
      const li = e.target.closest("li");
      if (li) this.#take(Number(li.dataset.i));
    });
    this.set("");
  }

  set(text) {
    this.applied = text;
    this.input.value = text;
    this.fail(null);
    this.#close();
  }

  get text() { return this.input.value; }

  // selectors shows those that came with the URL, to be taken away.
  selectors(list, remove) {
    this.chips.hidden = list.length === 0;
    fill(this.chips, list.map(([name, value], i) => h("span", { class: "chip" }, h("b", {}, name), " ", value,
      button({ icon: "close", label: `Take ${name} ${value} away`, onclick: () => remove(i) }))));
  }

  #typed() {
    this.fail(null);
    this.#paint();
  }

  #paint(bad = -1) {
    const text = this.input.value;
    this.clear.hidden = text === "" && this.applied === "";
    const searching = plain(text);
    fill(this.back, tokens(text).map((t) => {
      const wrong = bad >= 0 && (bad >= t.from && bad < t.to);
      return h("span", { class: `${searching ? "" : `t-${t.kind}`}${wrong ? " t-wrong" : ""}` }, t.text);
    }), bad >= text.length ? h("span", { class: "t-wrong" }, " ") : null);
    this.back.scrollLeft = this.input.scrollLeft;
  }

  // fail shows what the server says is wrong, at its place.
  fail(problem) {
    const mistake = problem?.errors?.find((e) => e.param === "filter") ?? null;
    this.input.setAttribute("aria-invalid", String(Boolean(problem)));
    this.error.hidden = !problem;
    if (!problem) {
      this.error.textContent = "";
      this.#paint();
      return;
    }
    const text = this.input.value;
    let at = -1;
    if (mistake?.column) {
      // Columns count characters, strings here count UTF-16 units.
      at = [...text].slice(0, mistake.column - 1).join("").length;
      this.#paint(at);
    }
    const wrong = at >= 0 ? tokens(text).find((t) => at >= t.from && at < t.to) : null;
    const better = wrong?.kind === "name" && /unknown name/.test(mistake.detail) ? nearest(wrong.text, this.o.vocabulary.attributes()) : "";
    fill(this.error, mistake?.column ? [h("b", {}, `Column ${mistake.column}`), " ", better ? mistake.detail.split("; the other names")[0] : mistake.detail] : problem.message,
      better && h("button", { type: "button", class: "fix", onclick: () => {
        this.input.value = text.slice(0, wrong.from) + attribute(better) + text.slice(wrong.to);
        this.submit();
        this.input.focus();
      } }, `Use ${attribute(better)}`));
    if (at >= 0 && document.activeElement === this.input) this.input.setSelectionRange(at, at);
  }

  async submit() {
    this.#close();
    let text = this.input.value.trim();
    if (plain(text)) text = search(text);
    this.input.value = text;
    this.#paint();
    const problem = await this.o.apply(text);
    if (problem) this.fail(problem);
    else if (this.input.value === text) this.set(text);
  }

  suggest() {
    const at = this.input.selectionStart ?? this.input.value.length;
    const text = this.input.value;
    const { from, to, items } = complete(text, at, this.o.vocabulary);
    this.items = items.map((i) => ({ ...i, from, to }));
    if (plain(text) && text.trim()) {
      this.items.push({ whole: search(text.trim()), label: `Search for “${text.trim()}”`, about: "in DN, name and description" });
    }
    this.active = -1;
    this.#show();
  }

  #show() {
    this.list.hidden = this.items.length === 0;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    fill(this.list, this.items.map((item, i) => h("li", { role: "option", id: `${this.id}-o${i}`, dataset: { i }, "aria-selected": String(i === this.active) },
      h("span", { class: "what" }, item.label), item.about && h("span", { class: "about" }, item.about))));
    this.#activate(this.active);
  }

  #activate(i) {
    this.list.children[this.active]?.setAttribute("aria-selected", "false");
    this.active = i;
    const li = this.list.children[i];
    if (!li) {
      this.input.removeAttribute("aria-activedescendant");
      return;
    }
    li.setAttribute("aria-selected", "true");
    li.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", li.id);
  }

  #close() {
    this.list.hidden = true;
    this.active = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  #take(i) {
    const item = this.items[i];
    if (!item) return;
    if (item.whole) {
      this.input.value = item.whole;
      this.submit();
      return;
    }
    const text = this.input.value;
    let insert = item.insert;
    // The next thing is an operator or a word: leave room for it.
    if (!/[\s.([]$/.test(insert) && !/^\s/.test(text.slice(item.to)) && insert !== "]") insert += insert.endsWith('"') && this.#inList(item.from) ? "" : " ";
    this.input.value = text.slice(0, item.from) + insert + text.slice(item.to);
    const at = item.from + insert.length;
    this.input.setSelectionRange(at, at);
    this.#typed();
    this.suggest();
  }

  #inList(at) {
    const before = this.input.value.slice(0, at);
    return before.lastIndexOf("[") > before.lastIndexOf("]");
  }

  #key(e) {
    const open = !this.list.hidden && this.items.length > 0;
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      if (!open) return this.suggest();
      const n = this.items.length;
      this.#activate(e.key === "ArrowDown" ? (this.active + 1) % n : (this.active <= 0 ? n : this.active) - 1);
    } else if (e.key === "Enter") {
      e.preventDefault();
      if (open && this.active >= 0) this.#take(this.active);
      else this.submit();
    } else if (e.key === "Tab" && open && !e.shiftKey && (this.active >= 0 || this.input.value && this.items.length > 0 && /[\w"]$/.test(this.input.value.slice(0, this.input.selectionStart)))) {
      e.preventDefault();
      this.#take(Math.max(this.active, 0));
    } else if (e.key === "Escape") {
      e.stopPropagation();
      if (open) this.#close();
      else if (this.input.value !== this.applied) this.set(this.applied);
      else this.input.blur();
      announce("");
    } else if (e.key === " " && e.ctrlKey) {
      e.preventDefault();
      this.suggest();
    }
  }
}
