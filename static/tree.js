/**
 * The tree of a conversation's messages, and which branch of it is looked at.
 *
 * Owns who follows whom, and of each message's children the chosen one. Nothing here takes longer with every message
 * there is, but for what has to name them all. Knows nothing of events, sockets or the DOM.
 *
 * @typedef {import("./store.js").Message} Message
 */
export class Tree {
  /** @type {Map<string, Message>} in the log's order: parents come before their children */ messages = new Map();
  /** @type {Map<string | null, string[]>} by parent, oldest first */ #children = new Map();
  /** @type {Map<string | null, string>} by parent */ #chosen = new Map();

  clear() {
    this.messages = new Map();
    this.#children.clear();
    this.#chosen.clear();
  }

  /** Add a message, or put another object in its place. @param {Message} message */
  put(message) {
    const { id, parent_id } = message;
    if (!this.messages.has(id)) {
      if (!this.#children.has(parent_id)) this.#children.set(parent_id, []);
      this.#children.get(parent_id).push(id);
    }
    this.messages.set(id, message);
  }

  /** Look at this message rather than at its siblings; what lies above it stays as it is. */
  prefer(id) {
    this.#chosen.set(this.messages.get(id).parent_id, id);
  }

  /** Look at this message, and so at everything above it. */
  choose(id) {
    for (let at = id; at !== null; at = this.messages.get(at).parent_id) this.prefer(at);
  }

  /** Take a message away with all that follow it. The newest of its siblings is looked at instead. */
  remove(id) {
    const { parent_id } = this.messages.get(id);
    for (const gone of [...this.branch(id)]) {
      for (const index of [this.messages, this.#children, this.#chosen]) index.delete(gone);
    }
    const left = this.#children.get(parent_id).filter((child) => child !== id);
    this.#children.set(parent_id, left);
    if (this.#chosen.get(parent_id) !== id) return;
    const last = this.#turns(parent_id).at(-1);
    if (last) this.#chosen.set(parent_id, last);
    else this.#chosen.delete(parent_id);
  }

  /** The messages from the first to the selected leaf, notices where they were told. @returns {Message[]} */
  path() {
    const path = [];
    for (let at = null; at !== undefined; at = this.#chosen.get(at)) {
      if (at !== null) path.push(this.messages.get(at));
      for (const id of this.#children.get(at) ?? []) if (this.#isNotice(id)) path.push(this.messages.get(id));
    }
    return path;
  }

  /** The last message of the selected branch. @returns {string | null} */
  leaf() {
    let leaf = null;
    for (let at = this.#chosen.get(null); at !== undefined; at = this.#chosen.get(at)) leaf = at;
    return leaf;
  }

  /** Whether this is the one to look at among its siblings. */
  isSelected(id) {
    return this.#isNotice(id) || this.#chosen.get(this.messages.get(id).parent_id) === id;
  }

  /** Whether this message lies on the selected branch. */
  isShown(id) {
    if (!this.messages.has(id)) return false;
    let at = id;
    while (at !== null && this.isSelected(at)) at = this.messages.get(at).parent_id;
    return at === null;
  }

  /** The ids of the messages that stand in one place, this one included, oldest first. */
  siblings(id) {
    return this.#turns(this.messages.get(id).parent_id);
  }

  /** How many messages would go with this one: itself and all that follow it, on every branch. */
  size(id) {
    return [...this.branch(id)].filter((each) => !this.#isNotice(each)).length;
  }

  /** The ids of this message and of all below it, parents first. @returns {Generator<string>} */
  *branch(id) {
    const left = [id];
    while (left.length) {
      const next = left.pop();
      yield next;
      left.push(...(this.#children.get(next) ?? []));
    }
  }

  #turns(parent) {
    return (this.#children.get(parent) ?? []).filter((id) => !this.#isNotice(id));
  }

  #isNotice(id) {
    return this.messages.get(id).role === "notice";
  }
}
