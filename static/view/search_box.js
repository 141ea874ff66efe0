/**
 * The box that searches all conversations, and what it found, in place of the list.
 *
 * Owns the box and the results. The focus stays in the box; the arrow keys go through the results, each of which is a
 * link to its conversation.
 *
 * @typedef {import("../history_api.js").Hit} Hit
 * @typedef {import("../search.js").Search} Search
 */
import { announce } from "./announcer.js";
import { shortDate } from "./days.js";
import { byId, element } from "./elements.js";

export class SearchBox {
  #active = -1;
  #isEntered = false; // Enter was pressed before the answer came

  /**
   * @param {Search} search
   * @param {(hit: Hit) => void} onOpen told of the hit whose link is followed
   */
  constructor(search, onOpen) {
    Object.assign(this, { search, onOpen });
    this.input = byId("search-input");
    this.results = byId("search-results");
    this.note = byId("search-note");
    this.input.addEventListener("input", () => this.#typed());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    byId("search-clear").addEventListener("click", () => this.#clear());
    search.addEventListener("change", () => this.#show());
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  #typed() {
    this.#isEntered = false;
    byId("search-clear").hidden = this.input.value === "";
    this.search.type(this.input.value);
  }

  #clear() {
    this.input.value = "";
    this.#typed();
    this.input.focus();
  }

  #key(event) {
    if (event.isComposing) return;
    const { children } = this.results;
    const moves = { ArrowDown: this.#active + 1, ArrowUp: this.#active - 1 };
    if (event.key in moves && children.length) this.#activate((moves[event.key] + children.length) % children.length);
    else if (event.key === "Enter") this.#enter();
    else if (event.key === "Escape" && this.input.value) this.#clear();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Open the result that the arrow keys are at, or the first one as soon as it is known. */
  #enter() {
    this.#isEntered = this.search.isPending;
    if (!this.#isEntered) this.results.children[Math.max(0, this.#active)]?.click();
  }

  #show() {
    const { text, hits, problem } = this.search;
    const isEmpty = hits?.length === 0;
    const now = new Date();
    this.results.replaceChildren(...(hits ?? []).map((hit, index) => this.#result(hit, index, now)));
    this.results.hidden = !hits?.length;
    byId("chat-scroller").hidden = text !== "" && Boolean(hits || problem);
    this.note.hidden = !isEmpty && !problem;
    this.note.textContent = problem ?? `Nothing found for “${text}”.`;
    this.input.setAttribute("aria-expanded", String(!this.results.hidden));
    this.#activate(-1);
    this.results.scrollTop = 0;
    if (this.#isEntered) this.#enter();
    if (!this.note.hidden) announce(this.note.textContent);
    else if (hits) announce(hits.length === 1 ? "1 conversation found." : `${hits.length} conversations found.`);
  }

  #activate(index) {
    this.results.children[this.#active]?.setAttribute("aria-selected", "false");
    this.#active = index;
    const option = this.results.children[index];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.input.setAttribute("aria-activedescendant", option.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  /** @param {Hit} hit */
  #result(hit, index, now) {
    const { id, title, updated, message_id, snippet, marks = [] } = hit;
    const isTitle = !message_id;
    const shown = isTitle && snippet === title ? marked(snippet, marks) : [title];
    const head = element(
      "span",
      { class: "result-head" },
      element("span", { class: "chat-title", dir: "auto" }, ...shown),
      element("span", { class: "result-date figures" }, shortDate(updated, now)),
    );
    const body = isTitle ? "" : element("span", { class: "result-snippet", dir: "auto" }, ...marked(snippet, marks));
    const attributes = { role: "option", tabindex: "-1", "aria-selected": "false", title };
    const link = element("a", { ...attributes, id: `result-${index}`, class: "result", href: `#${id}` }, head, body);
    link.addEventListener("click", (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) this.onOpen(hit);
    });
    return link;
  }
}

/** A snippet with what was met in it marked. @param {[number, number][]} marks in code points, in order */
function marked(snippet, marks) {
  const points = Array.from(snippet);
  const parts = [];
  let at = 0;
  for (const [begin, end] of marks) {
    parts.push(points.slice(at, begin).join(""), element("mark", {}, points.slice(begin, end).join("")));
    at = end;
  }
  parts.push(points.slice(at).join(""));
  return parts.filter((part) => part !== "");
}
