/**
 * The selected branch on the page: one element a message, in their order.
 *
 * Owns the messages' views and what is being written in place of messages. Where the branch is another than before,
 * only what differs is taken away and drawn.
 *
 * @typedef {import("../store.js").Message} Message
 * @typedef {import("../commands.js").Commands} Deeds what a person can do to a message
 *
 * @typedef {object} View one message's elements
 * @property {Message} message as it is drawn
 * @property {HTMLElement[]} elements
 * @property {(message: Message, siblings: string[]) => void} update
 * @property {() => void} remove
 * @property {import("./branch_arrows.js").BranchArrows} [arrows]
 * @property {string | null} [draft] what is being written in its place
 * @property {(draft?: string) => void} [edit] let it be rewritten in place
 * @property {(deadline: number) => void} [work] draw now
 * @property {() => void} [build] make the buttons that were put off
 * @property {() => void} [reconsider] what can be done with it may be another
 * @property {() => void} [abandon] nothing more will come of it
 */
import { AnswerTurn } from "./answer_turn.js";
import { element } from "./elements.js";
import { UserTurn } from "./user_turn.js";

export class Branch {
  /** @type {Map<string, View>} by message, in their order */ #views = new Map();
  /** @type {Map<string, string>} what was being written in place of messages that are not on show */
  #drafts = new Map();
  /** @type {View | null} of the last answer */ #latest = null;

  /**
   * @param {import("../store.js").Store} store
   * @param {Deeds} deeds
   * @param {HTMLElement} end before which messages are added
   */
  constructor(store, deeds, end) {
    Object.assign(this, { store, deeds, end });
  }

  get isEmpty() {
    return this.#views.size === 0;
  }

  /** @returns {View | undefined} */
  get(id) {
    return this.#views.get(id);
  }

  /** @returns {View | undefined} the last one of something that a person said */
  get lastSaid() {
    return [...this.#views.values()].findLast(({ message }) => message.role === "user");
  }

  /** The messages to show: an answer is drawn from its first word on. @returns {Message[]} */
  path() {
    const isDrawn = ({ running, message, reasoning, id }) => !running || message || reasoning || this.#views.has(id);
    return this.store.path().filter(isDrawn);
  }

  /** The views that are on no such path any more. @param {Message[]} path @returns {View[]} */
  missing(path) {
    const wanted = new Set(path.map(({ id }) => id));
    return [...this.#views.values()].filter(({ message }) => !wanted.has(message.id));
  }

  /**
   * Draw the path's messages that are not there yet, and bring the others up to date.
   * @param {Message[]} path
   * @param {View[]} gone taken away
   * @param {HTMLElement | null} above below which the first one stands; none: at the top
   * @returns {View[]} those that are new
   */
  show(path, gone, above) {
    for (const view of gone) this.#drop(view);
    const fresh = [];
    const before = path.findLastIndex(({ id }) => this.#views.has(id));
    let previous = above;
    for (const [index, message] of path.entries()) {
      const known = this.#views.get(message.id);
      const view = known ?? this.#make(message);
      if (known) this.#update(known, message);
      else {
        this.#place(view, gone.length || index < before ? previous : this.end.previousElementSibling);
        view.elements.at(-1).classList.toggle("arriving", !gone.length && index === path.length - 1);
        fresh.push(view);
      }
      previous = view.elements.at(-1);
    }
    this.#views = new Map(path.map(({ id }) => [id, this.#views.get(id)]));
    this.#markLatest();
    for (const view of fresh) this.#resumeDraft(view);
    return fresh;
  }

  /** Bring one message up to date. */
  update(id) {
    this.#views.get(id).update(this.store.messages.get(id), this.store.tree.siblings(id));
  }

  /** Look anew at what can be done with each message. */
  reconsider() {
    for (const view of this.#views.values()) view.reconsider?.();
  }

  /** Have this text written on in place of a message, now or when that is on show. */
  keepDraft(id, draft) {
    this.#drafts.set(id, draft);
    if (this.#views.has(id)) this.#resumeDraft(this.#views.get(id));
  }

  /** The conversation was lost: what is drawn stays to be read. */
  abandon() {
    for (const view of this.#views.values()) view.abandon?.();
    this.#views.clear();
  }

  clear() {
    for (const view of this.#views.values()) view.remove();
    this.#views.clear();
    this.#drafts.clear();
    this.#latest = null;
  }

  #make(message) {
    const { role } = message;
    const Turn = role === "ai" ? AnswerTurn : UserTurn;
    const view = role === "notice" ? noticeView(message) : new Turn(message, this.deeds);
    view.update(message, this.store.tree.siblings(message.id));
    this.#views.set(message.id, view);
    return view;
  }

  #place(view, previous) {
    if (previous) previous.after(...view.elements);
    else this.end.parentElement.prepend(...view.elements);
  }

  #update(view, message) {
    const siblings = this.store.tree.siblings(message.id);
    if (view.message === message && !message.running && view.arrows?.shows(siblings) !== false) return;
    view.update(message, siblings);
  }

  #drop(view) {
    if (typeof view.draft === "string") this.#drafts.set(view.message.id, view.draft);
    view.remove();
    this.#views.delete(view.message.id);
  }

  /** What was being written while it was not on show is there again, and takes no other box's focus. */
  #resumeDraft(view) {
    const { id } = view.message;
    const draft = this.#drafts.get(id);
    if (draft === undefined) return;
    this.#drafts.delete(id);
    const { activeElement } = document;
    view.edit(draft);
    if (activeElement.matches("textarea")) activeElement.focus({ preventScroll: true });
  }

  #markLatest() {
    const latest = [...this.#views.values()].findLast(({ message }) => message.role === "ai") ?? null;
    if (latest === this.#latest) return;
    for (const node of this.#latest?.elements ?? []) node.classList.remove("latest");
    for (const node of latest?.elements ?? []) node.classList.add("latest");
    this.#latest = latest;
  }
}

/** @param {Message} message @returns {View} */
function noticeView(message) {
  const node = element("div", { class: "message system" }, message.message);
  return { message, elements: [node], update: () => {}, remove: () => node.remove() };
}
