/**
 * The conversation as this page knows it: a fold over the session's log.
 *
 * Owns the tree of messages, the running answers, the queue and the place in the log (`epoch`, `seq`). Only `apply`
 * changes them, and applying an event twice changes nothing. Knows nothing of sockets and nothing of the DOM.
 *
 * A message that changes is another object, except for the text of an answer that is being written: so whoever keeps
 * the object it has drawn knows at a glance whether it is still right.
 *
 * @typedef {object} Message
 * @property {string} id
 * @property {string | null} parent_id
 * @property {"user" | "ai" | "notice"} role
 * @property {string} message
 * @property {string} [reasoning]
 * @property {string} [finish_reason] why an answer ended; absent while it runs and when it failed
 * @property {{code: string, message: string, retry_after?: number}} [error] why an answer failed
 * @property {boolean} [running]
 * @property {string} [cmd_id] the command that made it, or had it go on
 * @property {string} [run] of a user's message: the id of the answer to it
 * @property {string} [model]
 * @property {number} [at] Unix seconds
 * @property {{prompt_tokens: number, cached_tokens: number, completion_tokens: number}} [usage]
 * @property {{ttft_ms?: number, total_ms?: number, queued_ms?: number, tokens_per_second?: number}} [timings]
 * @property {{max_tokens?: number, temperature?: number}} [params]
 *
 * @typedef {{id: string, message: string, cmd_id?: string}} QueuedPrompt
 *
 * Events: `reset` (everything is new), and with the id in `detail`: `message` (one is new, or runs again), `text` (a
 * running answer grew), `ended` (an answer did), `selected` (another branch is), `removed`; `queue` (it is another).
 */
import { Tree } from "./tree.js";

export class Store extends EventTarget {
  /** @type {string | null} */ session = null;
  /** @type {string | null} */ epoch = null;
  seq = 0;
  tree = new Tree();
  /** @type {QueuedPrompt[]} */ queue = [];
  /** @type {Map<string, Record<string, number>>} code points so far, by running answer and channel */
  #points = new Map();

  /** Forget everything: another session begins. */
  clear() {
    this.#reset({ session: null, epoch: null, seq: 0, messages: [], running: [], queue: [] });
  }

  /** Take over the identities of a hello. Its epoch only stands once a snapshot came or nothing was ever applied. */
  greet(session, epoch) {
    this.session = session;
    if (this.seq === 0) this.epoch = epoch;
  }

  /** @returns {Map<string, Message>} in the log's order */
  get messages() {
    return this.tree.messages;
  }

  /** The running answers, in the order in which they began. @returns {Message[]} */
  get running() {
    return [...this.#points.keys()].map((id) => this.messages.get(id));
  }

  /** The messages from the first to the selected leaf. */
  path() {
    return this.tree.path();
  }

  /**
   * Fold one frame that has a `seq`: a log event or a snapshot.
   * @returns {"applied" | "known" | "gap"} `gap`: events are missing in between; come back after `seq`
   */
  apply(frame) {
    if (frame.type === "snapshot") {
      this.#reset(frame);
      return "applied";
    }
    if (frame.seq <= this.seq) return "known";
    if (frame.seq > this.seq + 1 || !this.#continues(frame)) return "gap";
    this.seq = frame.seq;
    this.#fold[frame.type]?.(frame);
    return "applied";
  }

  #reset({ session, epoch, seq, messages, running, queue }) {
    const known = this.messages;
    Object.assign(this, { session, epoch, seq, queue: [...queue] });
    this.tree.clear();
    this.#points.clear();
    const runs = new Set(running.map((answer) => answer.id));
    for (const { selected, ...message } of messages) {
      const fresh = { parent_id: null, ...message, ...(runs.has(message.id) && { running: true }) };
      this.tree.put(says(known.get(fresh.id), fresh) ? known.get(fresh.id) : fresh);
      if (selected && fresh.role !== "notice") this.tree.prefer(fresh.id);
    }
    for (const id of runs) this.#count(this.messages.get(id));
    this.#tell("reset");
  }

  /** Whether a delta leaves no hole in its channel; of any other event its `seq` says enough. */
  #continues(frame) {
    const points = this.#points.get(frame.id);
    return frame.type !== "delta" || !points || frame.offset <= points[frame.channel ?? "content"];
  }

  #fold = {
    queued: ({ id, message, cmd_id }) => this.#enqueue([...this.queue, { id, message, cmd_id }]),
    edited: ({ id, message }) => {
      this.#enqueue(this.queue.map((prompt) => (prompt.id === id ? { ...prompt, message } : prompt)));
    },
    moved: ({ id, position }) => {
      const others = this.queue.filter((prompt) => prompt.id !== id);
      const moving = this.queue.filter((prompt) => prompt.id === id);
      this.#enqueue([...others.slice(0, position), ...moving, ...others.slice(position)]);
    },
    user: ({ id, parent_id = null, message, cmd_id, run, at }) => {
      this.#unqueue(id);
      this.#show({ id, parent_id, role: "user", message, cmd_id, run, at });
    },
    typing: ({ id, parent_id, model, cmd_id, at }) => {
      const begun = { id, parent_id: parent_id ?? this.#asked(id), role: "ai", message: "", at };
      const { finish_reason, error, usage, timings, ...answer } = this.messages.get(id) ?? begun;
      this.#count(answer);
      this.#show({ ...answer, model, cmd_id, running: true });
    },
    delta: ({ id, channel = "content", offset, message }) => {
      const answer = this.messages.get(id);
      const points = this.#points.get(id);
      if (!answer || !points) return;
      const known = points[channel] - offset; // code points of this piece that are there already
      const fresh = known > 0 ? [...message].slice(known).join("") : message;
      const field = channel === "content" ? "message" : "reasoning";
      answer[field] = (answer[field] ?? "") + fresh;
      points[channel] += codePoints(fresh);
      this.#tell("text", id);
    },
    ai: ({ id, parent_id, message, reasoning, finish_reason, usage, timings, model, params, cmd_id, at }) => {
      const whole = { message, reasoning, finish_reason, usage, timings, model, params };
      if (this.messages.has(id)) this.#end(id, whole);
      else this.#show({ id, parent_id, role: "ai", cmd_id, at, ...whole });
    },
    error: ({ id, code, message, retry_after }) => this.#end(id, { error: { code, message, retry_after } }),
    selected: ({ id }) => {
      this.tree.choose(id);
      this.#tell("selected", id);
    },
    removed: ({ id }) => {
      if (this.#unqueue(id) || !this.messages.has(id)) return;
      for (const gone of this.tree.branch(id)) this.#points.delete(gone);
      this.tree.remove(id);
      this.#tell("removed", id);
    },
    notice: ({ seq, message }) => {
      const id = `notice-${seq}`; // it hangs on the message it followed; it is no turn, so it is never chosen
      this.tree.put({ id, parent_id: this.tree.leaf(), role: "notice", message });
      this.#tell("message", id);
    },
  };

  #show(message) {
    this.tree.put(message);
    this.tree.choose(message.id);
    this.#tell("message", message.id);
  }

  #end(id, outcome) {
    const { running, ...before } = this.messages.get(id);
    this.tree.put({ ...before, ...outcome });
    this.#points.delete(id);
    this.#tell("ended", id);
  }

  #count({ id, message, reasoning = "" }) {
    this.#points.set(id, { content: codePoints(message), reasoning: codePoints(reasoning) });
  }

  /** The message that was said to be answered by `run`. */
  #asked(run) {
    return [...this.messages.values()].findLast((message) => message.run === run)?.id ?? null;
  }

  #enqueue(queue) {
    this.queue = queue;
    this.#tell("queue");
  }

  #unqueue(id) {
    const left = this.queue.filter((prompt) => prompt.id !== id);
    const waited = left.length < this.queue.length;
    if (waited) this.#enqueue(left);
    return waited;
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Whether `known` is there and says the same as `message`; what is empty says nothing. */
function says(known, message) {
  const words = (value) => JSON.stringify(value || undefined);
  return known && Object.keys({ ...known, ...message }).every((key) => words(known[key]) === words(message[key]));
}

/** How many code points `text` has: the unit of a delta's offset. A lone surrogate counts as one. */
export function codePoints(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
