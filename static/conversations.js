/**
 * The list of conversations, in order: the pinned ones, then the others, the newest change first.
 *
 * Owns what this page knows of the list. It is read from the server in pages, as far as somebody looks, and kept true
 * by the `session` frames. Knows nothing of the DOM. Events: `change` of the list, `off` when keeping conversations
 * stopped or began again.
 *
 * @typedef {import("./history_api.js").HistoryApi} HistoryApi
 * @typedef {import("./history_api.js").Conversation} Conversation
 *
 * @typedef {object} Stretch a part of the list that one page brought; all of them together are the whole list
 * @property {string | null} before the cursor that asks for it
 * @property {Conversation | null} last where it ends; none: at the end of the list
 * @property {boolean} fresh whether the server's frames have kept it true since it was read
 */
import { HistoryRefused } from "./history_api.js";

const PAGE = 200; // conversations, the most that the server gives at once

/** Whether `one` comes before `other`, as a negative number; the server sorts the same way. */
export function compare(one, other) {
  return other.pinned - one.pinned || other.updated - one.updated || (one.id < other.id ? 1 : one.id > other.id ? -1 : 0);
}

export class Conversations extends EventTarget {
  /** @type {readonly Conversation[]} as far as they were read */ items = [];
  /** @type {string | null} why nothing is kept, while that is so */ off = null;
  wasRead = false;
  #wasToldOff = false; // on this connection; that the list can be read then says nothing against it
  /** @type {Map<string, Conversation>} */ #known = new Map();
  /** @type {Stretch[]} */ #stretches = [{ before: null, last: null, fresh: false }];
  /** @type {AbortController | null} of the page that is under way */ #reading = null;
  /** @type {Set<string>} what was told of since that page was asked for, and is newer than what it says */ #told = new Set();
  /** @type {string[]} what was changed here and the server has not confirmed */ #pending = [];

  /** @param {HistoryApi} api */
  constructor(api) {
    super();
    this.api = api;
  }

  /** @returns {Conversation | undefined} */
  get(id) {
    return this.#known.get(id);
  }

  /** The place of a conversation that is in the list; of one that is not, the last place before where it would be. */
  indexOf(conversation) {
    return this.#countUpTo(conversation) - 1;
  }

  /** Whether all there are have been read. */
  get isComplete() {
    return this.wasRead && this.#stretches.at(-1).fresh;
  }

  /** A connection was made: from now on frames come, but what was said before may have been missed. */
  refresh() {
    this.#reading?.abort();
    this.#reading = null;
    this.#wasToldOff = false;
    for (const stretch of this.#stretches) stretch.fresh = false;
    return this.#read(0);
  }

  /**
   * Somebody looks at the places from `first` to `last`: read what is missing or may have changed there, a page at a time.
   * Every page makes a `change`, after which whoever looks asks again.
   */
  need(first, last) {
    if (this.#reading || !this.wasRead) return;
    let begin = 0;
    for (const [index, stretch] of this.#stretches.entries()) {
      const end = stretch.last ? this.#countUpTo(stretch.last) : Infinity;
      if (!stretch.fresh && begin <= last && end > first) return void this.#read(index);
      begin = end;
    }
  }

  /** Take over what a `session` frame says. */
  take({ removed, id, title, pinned = false, running = false, created, updated }) {
    if (this.#reading) this.#told.add(id);
    if (removed) this.#drop(id);
    else this.#put({ id, title, pinned, running, created, updated });
    this.#changed();
  }

  /** Take over what a `system` frame says about keeping conversations. */
  heed({ state, message }) {
    if (state === "history_off") {
      this.#wasToldOff = true;
      this.#become(message);
    } else if (state === "history_on") {
      this.#become(null);
      this.refresh();
    }
  }

  /** Throws HistoryRefused; then the title is as it was. */
  rename(id, title) {
    return this.#alter(id, { title });
  }

  /** Throws HistoryRefused; then nothing has changed. */
  pin(id, pinned) {
    return this.#alter(id, { pinned });
  }

  /** Delete a conversation; `restore` takes that back. Throws HistoryRefused; then it is still there. */
  remove(conversation) {
    const gone = { id: conversation.id, removed: true };
    return this.#attempt(gone, () => this.api.remove(conversation.id), () => conversation);
  }

  /** Take the deletion of `conversation` back. Throws HistoryRefused; then it is still deleted. */
  restore(conversation) {
    const gone = { id: conversation.id, removed: true };
    return this.#attempt(conversation, () => this.api.restore(conversation.id), () => gone);
  }

  #alter(id, change) {
    const before = this.#known.get(id);
    const former = Object.fromEntries(Object.keys(change).map((name) => [name, before[name]]));
    const back = () => ({ ...(this.#known.get(id) ?? before), ...former });
    return this.#attempt({ ...before, ...change }, () => this.api.change(id, change), back);
  }

  /** Show what a conversation will be at once, and what it was when the server refuses. */
  async #attempt(changed, ask, back) {
    this.#pending.push(changed.id);
    this.take(changed);
    try {
      await ask();
    } catch (error) {
      this.take(back());
      throw error;
    } finally {
      this.#pending.splice(this.#pending.indexOf(changed.id), 1);
    }
  }

  async #read(index) {
    const reading = new AbortController();
    this.#reading = reading;
    this.#told = new Set(this.#pending);
    try {
      const page = await this.api.page(this.#stretches[index].before, PAGE, reading.signal);
      if (this.#reading !== reading) return;
      this.#reading = null;
      this.#merge(index, page);
      this.wasRead = true;
      if (!this.#wasToldOff) this.#become(null);
      this.#changed();
    } catch (error) {
      if (this.#reading !== reading) return; // another reading has taken over
      this.#reading = null;
      if (!(error instanceof HistoryRefused)) throw error;
      if (error.isOff) this.#become(error.message);
    }
  }

  /** What a page says holds for all between where it begins and where it ends. @param {{sessions, next}} page */
  #merge(index, { sessions, next }) {
    const from = index ? this.#countUpTo(this.#stretches[index - 1].last) : 0;
    const last = next === null ? null : sessions.at(-1);
    const inPage = new Set(sessions.map(({ id }) => id));
    for (const { id } of this.items.slice(from, last ? this.#countUpTo(last) : undefined)) {
      if (!inPage.has(id) && !this.#told.has(id)) this.#drop(id);
    }
    this.#stretches[index].fresh = true;
    this.#end(index, last, next);
    for (const conversation of sessions) if (!this.#told.has(conversation.id)) this.#insert(conversation);
  }

  /** Stretch `index` ends at `last` now: the ones after it shrink, go or grow accordingly. */
  #end(index, last, next) {
    const stretch = this.#stretches[index];
    const after = this.#stretches.slice(index + 1).filter((other) => last && (!other.last || compare(last, other.last) < 0));
    if (last && !after.length) after.push({ before: next, last: null, fresh: false });
    if (last && after[0].before !== next) Object.assign(after[0], { before: next, fresh: false });
    stretch.last = last;
    this.#stretches.splice(index + 1, Infinity, ...after);
  }

  /** Put a conversation where it belongs, unless that is further down than has been read: then its page will bring it. */
  #put(conversation) {
    const last = this.items.at(-1);
    const isUnread = this.wasRead && !this.isComplete && last && last.id !== conversation.id;
    if (isUnread && compare(last, conversation) < 0) this.#drop(conversation.id);
    else this.#insert(conversation);
  }

  #insert(conversation) {
    this.#drop(conversation.id);
    this.items.splice(this.#countUpTo(conversation), 0, conversation);
    this.#known.set(conversation.id, conversation);
  }

  #drop(id) {
    const known = this.#known.get(id);
    if (known) this.items.splice(this.indexOf(known), 1);
    this.#known.delete(id);
  }

  /** How many there are up to and with the place of `conversation`, by bisection. */
  #countUpTo(conversation) {
    let [low, high] = [0, this.items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.items[middle], conversation) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #become(off) {
    if (off === this.off) return;
    this.off = off;
    this.dispatchEvent(new Event("off"));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
