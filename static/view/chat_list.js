/**
 * The list of conversations as it is drawn: only the lines in view and some around them are in the document.
 *
 * Owns the list's scroll position, its lines and which of them the keyboard is at. What lies above the reader may change
 * without moving what they look at.
 *
 * @typedef {import("../conversations.js").Conversations} Conversations
 * @typedef {import("../history_api.js").Conversation} Conversation
 */
import { schedule } from "../frames.js";
import { ChatRow } from "./chat_row.js";
import { groupsOf, untilMidnight } from "./days.js";
import { element } from "./elements.js";
import { HEADING_PX, heightOf, Places, ROW_PX } from "./places.js";

const AROUND_PX = 12 * ROW_PX; // drawn above and below what is seen
const AHEAD = 60; // lines below what is drawn that are asked for before they are needed

export class ChatList {
  #current = null;
  #places = new Places([], []);
  #isStale = true; // the list has changed since it was laid out
  /** @type {Map<string, ChatRow>} by conversation */ #rows = new Map();
  /** @type {ChatRow[]} */ #spare = [];
  /** @type {Map<string, HTMLElement>} by name of the group */ #sections = new Map();
  #seen = []; // the lines in view and their tops, to hold on to when the list changes
  #stop = null; // the conversation that the Tab key goes to

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} canvas inside it
   * @param {Conversations} conversations
   * @param {(row: ChatRow) => void} furnish asked once of every new line
   */
  constructor(scroller, canvas, conversations, furnish) {
    Object.assign(this, { scroller, canvas, conversations, furnish });
    scroller.addEventListener("scroll", () => this.#later(), { passive: true });
    scroller.addEventListener("keydown", (event) => this.#key(event));
    scroller.addEventListener("focusin", ({ target }) => this.#come(target));
    new ResizeObserver(() => this.#later()).observe(scroller);
    conversations.addEventListener("change", () => this.#changed());
    document.addEventListener("visibilitychange", () => document.hidden || this.#changed());
    this.#turnOver();
  }

  /** @param {string | null} id of the conversation that the page shows */
  set current(id) {
    if (id === this.#current) return;
    this.#current = this.#stop = id;
    this.#later();
  }

  /** Bring the line of a conversation into view. @returns {ChatRow} */
  reveal(conversation) {
    this.#layOut(); // the list may have changed a moment ago
    const top = this.#places.topOf(this.conversations.indexOf(conversation));
    const { scrollTop, clientHeight } = this.scroller;
    if (top - HEADING_PX < scrollTop) this.scroller.scrollTop = top - HEADING_PX;
    else if (top + ROW_PX > scrollTop + clientHeight) this.scroller.scrollTop = top + ROW_PX - clientHeight;
    this.#draw();
    return this.#rows.get(conversation.id);
  }

  /** Bring the line of a conversation into view and the focus to it. */
  focus(conversation) {
    this.#stop = conversation.id;
    this.reveal(conversation).link.focus({ preventScroll: true });
  }

  /** Bring the focus to the line that is now where `gone` was, or to the last one. @returns {boolean} if there is any */
  focusAtPlaceOf(gone) {
    const { items } = this.conversations;
    const next = items[Math.min(this.conversations.indexOf(gone) + 1, items.length - 1)];
    if (next) this.focus(next);
    return next !== undefined;
  }

  #changed() {
    this.#isStale = true;
    this.#later();
  }

  #later() {
    schedule(this.#draw);
  }

  /** At midnight today becomes yesterday. */
  #turnOver() {
    this.#changed();
    setTimeout(() => this.#turnOver(), untilMidnight(new Date()) + 1000);
  }

  #draw = () => {
    if (this.#isStale) this.#layOut();
    const { scrollTop, clientHeight } = this.scroller;
    const first = this.#places.indexAt(scrollTop - AROUND_PX);
    const last = this.#places.indexAt(scrollTop + clientHeight + AROUND_PX);
    this.#seen = this.#places.between(scrollTop, scrollTop + clientHeight);
    const focused = document.activeElement;
    const held = this.#rowAround(focused);
    this.#drawLines(first, last);
    if (held && !held.element.isConnected) this.focusAtPlaceOf(held.conversation);
    else if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    if (clientHeight) this.conversations.need(first, last + AHEAD);
    return true;
  };

  /** Find everything's place anew, and keep what is seen where it is. */
  #layOut() {
    const { scroller, conversations } = this;
    this.#isStale = false;
    const held = scroller.scrollTop > 0 && this.#seen.find(([before]) => this.#hasStayed(before));
    this.#places = new Places(conversations.items, groupsOf(conversations.items, new Date()));
    this.canvas.style.height = `${this.#places.height}px`;
    if (!held) return;
    const [{ id }, before] = held;
    const moved = this.#places.topOf(conversations.indexOf(conversations.get(id))) - before;
    if (moved) scroller.scrollTop += moved;
  }

  #hasStayed({ id, pinned, updated }) {
    const now = this.conversations.get(id);
    return now !== undefined && now.pinned === pinned && now.updated === updated;
  }

  #drawLines(first, last) {
    const wanted = new Set(this.conversations.items.slice(first, last + 1).map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id) || (row.isHeld && this.conversations.get(id))) wanted.add(id);
      else this.#putAside(id, row);
    }
    const indices = [...wanted].map((id) => this.conversations.indexOf(this.conversations.get(id)));
    indices.sort((one, other) => one - other);
    const stop = this.#stopAmong(wanted);
    const sections = [];
    for (const group of this.#places.groups) {
      const inGroup = indices.filter((index) => index >= group.first && index < group.first + group.count);
      if (inGroup.length) sections.push(this.#drawGroup(group, inGroup, stop));
    }
    arrange(this.canvas, sections);
  }

  #putAside(id, row) {
    this.#rows.delete(id);
    row.remove();
    this.#spare.push(row);
  }

  #drawGroup(group, indices, stop) {
    const section = this.#sectionOf(group);
    const rows = indices.map((index) => {
      const conversation = this.conversations.items[index];
      const row = this.#rowOf(conversation);
      const place = index - group.first;
      row.show(conversation, {
        isCurrent: conversation.id === this.#current,
        isStop: conversation.id === stop,
        top: place * ROW_PX,
        place: place + 1,
        size: group.count,
      });
      return row.element;
    });
    arrange(section.lastElementChild, rows);
    return section;
  }

  #sectionOf(group) {
    let section = this.#sections.get(group.name);
    if (!section) {
      const id = `chats-${group.name.replace(/\W/g, "-").toLowerCase()}`;
      const heading = element("h2", { class: "chats-heading", id }, group.name);
      section = element("section", { class: "chat-group" }, heading, element("ul", { "aria-labelledby": id }));
      this.#sections.set(group.name, section);
    }
    section.style.top = `${group.top}px`;
    section.style.height = `${heightOf(group)}px`;
    return section;
  }

  #rowOf({ id }) {
    let row = this.#rows.get(id) ?? this.#spare.pop();
    if (!row) this.furnish((row = new ChatRow()));
    this.#rows.set(id, row);
    return row;
  }

  /** Tab comes to one line only: the last one used, or the open conversation's, or the first in view. */
  #stopAmong(drawn) {
    return drawn.has(this.#stop) ? this.#stop : this.#seen[0]?.[0].id;
  }

  #rowAround(node) {
    return [...this.#rows.values()].find((row) => row.element.contains(node));
  }

  #come(target) {
    const row = this.#rowAround(target);
    if (!row || row.conversation.id === this.#stop) return;
    this.#stop = row.conversation.id;
    this.#later();
  }

  #key(event) {
    const { items } = this.conversations;
    const row = this.#rowAround(event.target);
    if (row?.link !== event.target || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.conversations.indexOf(row.conversation);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW_PX) - 1);
    const last = items.length - 1;
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last, PageDown: at + page, PageUp: at - page };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.focus(items[Math.max(0, Math.min(moves[event.key], last))]);
  }
}

/** Give `parent` exactly these children in this order, moving as few as possible. */
function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const child of children) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
}
