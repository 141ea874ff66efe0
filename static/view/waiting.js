/**
 * What waits under the conversation: messages for the running answer to end, and those on their way to the server.
 *
 * Owns one element for each, kept while it waits, so that the focus and an open editor survive every change.
 *
 * @typedef {import("../store.js").QueuedPrompt} QueuedPrompt
 * @typedef {import("./branch.js").Deeds} Deeds
 */
import { announce } from "./announcer.js";
import { enable, iconButton } from "./buttons.js";
import { Editor } from "./editor.js";
import { element } from "./elements.js";
import { ordinal } from "./figures.js";
import { bubble } from "./user_turn.js";

export class Waiting {
  /** @type {Map<string, QueuedView>} by message */ #queued = new Map();
  /** @type {Map<string, {text: string, element: HTMLElement}>} by command */ #sending = new Map();

  /** @param {Deeds} deeds */
  constructor(deeds) {
    this.deeds = deeds;
    this.element = element("div", { class: "waiting-prompts" });
  }

  get isEmpty() {
    return !this.#queued.size && !this.#sending.size;
  }

  /** Draw what a person just said, before the server confirms it. */
  addSending(cmd_id, text) {
    this.#sending.set(cmd_id, { text, element: bubble(text, "sending").article });
    this.#arrange();
  }

  /** The server has it, or refused it. @returns {string | undefined} what was said */
  removeSending(cmd_id) {
    const said = this.#sending.get(cmd_id);
    if (this.#sending.delete(cmd_id)) said.element.remove();
    return said?.text;
  }

  /**
   * @param {QueuedPrompt[]} queue in their order
   * @returns {Map<string, string>} what was being written in place of those that wait no more, by message
   */
  update(queue) {
    const drafts = new Map();
    const waits = new Set(queue.map(({ id }) => id));
    for (const [id, view] of this.#queued) {
      if (waits.has(id)) continue;
      if (view.editor.draft !== null) drafts.set(id, view.editor.draft);
      view.element.remove();
      this.#queued.delete(id);
    }
    for (const [index, prompt] of queue.entries()) {
      this.#sending.get(prompt.cmd_id)?.element.remove();
      this.#sending.delete(prompt.cmd_id);
      if (!this.#queued.has(prompt.id)) this.#queued.set(prompt.id, new QueuedView(prompt.id, this.deeds));
      this.#queued.get(prompt.id).update(prompt, index, queue.length);
    }
    this.#queued = new Map(queue.map(({ id }) => [id, this.#queued.get(id)]));
    this.#arrange();
    return drafts;
  }

  /** Let one be rewritten. */
  edit(id, draft) {
    this.#queued.get(id)?.edit(draft);
  }

  clear() {
    this.#queued.clear();
    this.#sending.clear();
    this.element.replaceChildren();
  }

  /** Put the elements in their order, and move none that stands right: what is moved loses the focus for a moment. */
  #arrange() {
    const focused = document.activeElement;
    const views = [...this.#queued.values(), ...this.#sending.values()];
    for (const [index, { element: node }] of views.entries()) {
      const there = this.element.children[index];
      if (there !== node) this.element.insertBefore(node, there ?? null);
    }
    if (document.activeElement !== focused && focused.isConnected) focused.focus({ preventScroll: true });
  }
}

/** One message that waits for its turn. */
class QueuedView {
  #prompt = null;
  #place = 0;
  #others = 0;

  constructor(id, deeds) {
    Object.assign(this, { id, deeds });
    const { article, said } = bubble("", "queued");
    this.element = article;
    this.said = said;
    this.note = element("span", { class: "queued-place" });
    this.up = iconButton("arrow-up", "Answer earlier", () => this.#move(-1));
    this.down = iconButton("arrow-down", "Answer later", () => this.#move(1));
    const actions = element(
      "span",
      { class: "actions" },
      this.up,
      this.down,
      iconButton("edit", "Edit this message", () => this.edit()),
      iconButton("close", "Take this message back", () => deeds.withdraw(id)),
    );
    const save = (text) => text === this.#prompt.message || deeds.reword(id, text);
    this.editor = new Editor(this.element, { name: "Your message", saveWords: "Save", save, takesFiles: true });
    this.element.append(element("div", { class: "queued-note" }, this.note, actions));
    this.element.addEventListener("keydown", (event) => this.#pressed(event));
  }

  update(prompt, place, length) {
    this.#prompt = prompt;
    this.#place = place;
    this.#others = length - 1;
    this.said.show(prompt.message);
    this.note.textContent = `Waiting, ${ordinal(place + 1)}`;
    for (const button of [this.up, this.down]) button.hidden = length < 2;
    enable(this.up, place > 0);
    enable(this.down, place < length - 1);
  }

  edit(draft = this.#prompt.message) {
    this.editor.open(draft);
  }

  #move(steps) {
    const place = this.#place + steps;
    if (place < 0 || place > this.#others) return;
    this.deeds.move(this.id, place);
    announce(`Waiting, ${ordinal(place + 1)}.`);
  }

  #pressed(event) {
    const steps = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!event.altKey || !steps || this.editor.draft !== null) return;
    event.preventDefault();
    this.#move(steps);
  }
}
