/**
 * What a person can do to a conversation, as commands to the server.
 *
 * Owns what was asked for from here: the order in which commands go out, and the words they carry until the server has
 * taken them. The conversation itself only changes when the server's events come. Knows nothing of the DOM.
 *
 * Events: `returned` with a text in `detail` that came back from the queue; `stops` when what Stop means is another.
 */
const STOP_ALL_MS = 2_000;

export class Commands extends EventTarget {
  /** Whether stopping once more takes the waiting messages back too. */ stopsAll = false;
  /** @type {Set<string>} */ #own = new Set();
  /** @type {Map<string, {id: string, text: string}>} rewritten messages by command, until it is answered */
  #rewritten = new Map();
  /** @type {Set<string>} commands that may come too late: what they are about has begun, or is gone, by then */
  #late = new Set();
  #timer = 0;

  /**
   * @param {import("./socket.js").ConversationSocket} socket
   * @param {import("./store.js").Store} store
   * @param {{params: () => object | undefined, continues: (model: string) => boolean, offline: () => void}} page how
   *   answers are to be sampled, which models go on with an answer, and what to do when there is no connection
   */
  constructor(socket, store, { params, continues, offline }) {
    super();
    Object.assign(this, { socket, store, params, continues, offline });
  }

  /** Say something. @returns {string} the `cmd_id` */
  say(message) {
    const params = this.params();
    return this.#send({ type: "user", message, ...(params && { params }) });
  }

  // The tree

  /** Look at this message's branch. */
  select(id) {
    this.#try({ type: "select", id });
  }

  /** Another version of a message beside it; one of a person is answered. @returns {boolean} whether it was sent */
  edit(id, text) {
    const isAnswer = this.store.messages.get(id).role === "ai";
    const command = { type: "edit", id, message: text };
    const cmd_id = isAnswer ? this.#try(command) : this.#instead(command);
    if (cmd_id) this.#rewritten.set(cmd_id, { id, text });
    return Boolean(cmd_id);
  }

  /** Answer again, beside this answer. */
  regenerate(id) {
    this.#instead({ type: "regenerate", id });
  }

  /** Whether the model of this answer can go on with it. @param {import("./store.js").Message} answer */
  canResume({ model, message }) {
    return Boolean(message) && this.continues(model);
  }

  /** Go on with an answer where it ended. */
  resume(id) {
    this.#instead({ type: "continue", id });
  }

  /** How many messages would go with this one. */
  size(id) {
    return this.store.tree.size(id);
  }

  /** Delete a message and all that follows it. */
  remove(id) {
    this.#late.add(this.#try({ type: "remove", id }));
  }

  // The queue

  /** Give a waiting message other words. @returns {boolean} whether it was sent */
  reword(id, text) {
    const cmd_id = this.#try({ type: "queue_edit", id, message: text });
    if (cmd_id) this.#rewritten.set(cmd_id, { id, text });
    return Boolean(cmd_id);
  }

  /** Take a waiting message back. */
  withdraw(id) {
    this.#late.add(this.#try({ type: "queue_remove", id }));
  }

  /** Let a waiting message be answered as the `position`th from now, 0 being the next. */
  move(id, position) {
    this.#late.add(this.#try({ type: "queue_move", id, position }));
  }

  /**
   * Stop the running answer. If messages wait, stopping again soon takes them back too; the last of them is returned.
   * @returns {boolean} whether there was something to stop
   */
  stop() {
    const { queue, running } = this.store;
    const answer = running.at(-1);
    const all = this.stopsAll;
    if (!answer && !(all && queue.length)) return false;
    if (all) for (const { id } of queue) this.withdraw(id); // before the next of them can begin
    if (answer) this.#send({ type: "stop", id: answer.id });
    if (all && queue.length) this.dispatchEvent(new CustomEvent("returned", { detail: queue.at(-1).message }));
    this.#expectAnother(!all && queue.length > 0);
    return true;
  }

  // What comes of them

  /** Whether this command was given here. */
  isOwn(cmd_id) {
    return this.#own.has(cmd_id);
  }

  /** The server has done it. */
  done(cmd_id) {
    this.#rewritten.delete(cmd_id);
    this.#late.delete(cmd_id);
  }

  /**
   * The server has refused it.
   * @returns {{id?: string, text?: string, late: boolean}} the message and the words that were meant for it; whether
   *   it just came too late
   */
  refused({ cmd_id, code }) {
    const late = this.#late.has(cmd_id) && code === "not_found";
    const rewritten = this.#rewritten.get(cmd_id);
    this.done(cmd_id);
    return { ...rewritten, late };
  }

  /** Another conversation begins. */
  clear() {
    for (const memory of [this.#own, this.#rewritten, this.#late]) memory.clear();
    this.#expectAnother(false);
  }

  /** Do this rather than what is going on: the running answer is stopped, and what waits for it waits for this. */
  #instead(command) {
    if (this.socket.state !== "connected") return this.offline();
    const { running, queue } = this.store;
    const waiting = running.length ? queue : [];
    for (const { id } of waiting) this.withdraw(id);
    for (const { id } of running) this.#send({ type: "stop", id });
    const cmd_id = this.#send(command);
    for (const { message } of waiting) this.say(message);
    return cmd_id;
  }

  /** @returns {string | undefined} the `cmd_id`; none without a connection */
  #try(command) {
    return this.socket.state === "connected" ? this.#send(command) : this.offline();
  }

  #send(command) {
    const cmd_id = this.socket.send(command);
    this.#own.add(cmd_id);
    return cmd_id;
  }

  #expectAnother(expected) {
    clearTimeout(this.#timer);
    if (expected) this.#timer = setTimeout(() => this.#expectAnother(false), STOP_ALL_MS);
    if (expected === this.stopsAll) return;
    this.stopsAll = expected;
    this.dispatchEvent(new Event("stops"));
  }
}
