/**
 * The conversation as this page knows it: a fold over the session's log.
 *
 * Owns the messages, the running answers, the queue and the place in the log (`epoch`, `seq`). Only `apply` changes
 * them, and applying an event twice changes nothing. Knows nothing of sockets and nothing of the DOM.
 *
 * @typedef {object} Message
 * @property {string} id
 * @property {string | null} parent_id
 * @property {"user" | "ai" | "notice"} role
 * @property {string} message
 * @property {string} [reasoning]
 * @property {string} [finish_reason] why an answer ended; absent while it runs and when it failed
 * @property {{code: string, message: string, retry_after?: number}} [error] why an answer failed
 * @property {boolean} selected whether this branch is the one on show
 * @property {boolean} [running]
 * @property {string} [cmd_id] of a user's message: the command that said it
 * @property {string} [run] of a user's message: the id of the answer to it
 * @property {string} [model]
 * @property {{prompt_tokens: number, cached_tokens: number, completion_tokens: number}} [usage]
 * @property {{ttft_ms?: number, total_ms?: number, queued_ms?: number, tokens_per_second?: number}} [timings]
 * @property {{max_tokens?: number, temperature?: number}} [params]
 *
 * @typedef {{id: string, message: string, cmd_id?: string}} QueuedPrompt
 *
 * Events: `reset` (everything is new), and with the id in `detail`: `message` (one is new), `text` (a running answer
 * grew), `ended` (an answer did), `changed` (another change of a message), `removed`; `queue` (the queue is another).
 */
export class Store extends EventTarget {
  /** @type {string | null} */ session = null;
  /** @type {string | null} */ epoch = null;
  seq = 0;
  /** @type {Map<string, Message>} in the log's order */ messages = new Map();
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

  /** The running answers, oldest first. */
  get running() {
    return [...this.#points.keys()].map((id) => this.messages.get(id)).filter(Boolean);
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

  /** The messages from the first to the selected leaf. */
  path() {
    const children = new Map();
    for (const message of this.messages.values()) {
      if (!children.has(message.parent_id)) children.set(message.parent_id, []);
      children.get(message.parent_id).push(message);
    }
    const path = [];
    let siblings = children.get(null) ?? [];
    while (siblings.length) {
      path.push(...siblings.filter((message) => message.role === "notice"));
      const next = siblings.findLast((message) => message.role !== "notice" && message.selected);
      if (!next) break;
      path.push(next);
      siblings = children.get(next.id) ?? [];
    }
    return path;
  }

  #reset({ session, epoch, seq, messages, running, queue }) {
    Object.assign(this, { session, epoch, seq, queue: [...queue] });
    this.messages = new Map(messages.map((message) => [message.id, { parent_id: null, ...message }]));
    this.#points.clear();
    for (const answer of running) {
      this.#begin({ ...answer });
      this.#points.set(answer.id, {
        content: codePoints(answer.message ?? ""),
        reasoning: codePoints(answer.reasoning ?? ""),
      });
    }
    this.#tell("reset");
  }

  /** Whether a delta leaves no hole in its channel; of any other event its `seq` says enough. */
  #continues(frame) {
    const points = this.#points.get(frame.id);
    return frame.type !== "delta" || !points || frame.offset <= points[frame.channel ?? "content"];
  }

  #fold = {
    queued: ({ id, message, cmd_id }) => {
      this.queue = [...this.queue, { id, message, cmd_id }];
      this.#tell("queue");
    },
    user: ({ id, parent_id = null, message, cmd_id, run }) => {
      this.#unqueue((prompt) => prompt.id === id || (cmd_id && prompt.cmd_id === cmd_id));
      this.#add({ id, parent_id, role: "user", message, cmd_id, run, selected: true });
    },
    typing: ({ id, model }) => {
      const asked = [...this.messages.values()].findLast((message) => message.run === id);
      this.#begin({ id, parent_id: asked?.id ?? null, model });
      this.#tell("message", id);
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
    ai: ({ id, message, reasoning = "", finish_reason, usage, timings, model, params }) => {
      this.#end(id, { message, reasoning, finish_reason, usage, timings, model, params });
    },
    error: ({ id, code, message, retry_after }) => {
      this.#end(id, { error: { code, message, ...(retry_after !== undefined && { retry_after }) } });
    },
    selected: ({ id }) => {
      this.#select(this.messages.get(id));
      this.#tell("reset");
    },
    removed: ({ id }) => {
      if (this.#unqueue((prompt) => prompt.id === id)) return;
      if (this.messages.has(id)) this.#removeBranch(id);
      this.#tell("removed", id);
    },
    edited: ({ id, message }) => {
      const prompt = this.queue.find((queued) => queued.id === id);
      if (prompt) {
        this.queue = this.queue.map((queued) => (queued === prompt ? { ...prompt, message } : queued));
        this.#tell("queue");
      } else if (this.messages.has(id)) {
        this.messages.get(id).message = message;
        this.#tell("changed", id);
      }
    },
    notice: ({ seq, message }) => {
      const after = this.path().findLast(({ role }) => role !== "notice");
      this.#add({ id: `notice-${seq}`, parent_id: after?.id ?? null, role: "notice", message, selected: true });
    },
  };

  #begin(answer) {
    const before = this.messages.get(answer.id) ?? { role: "ai", message: "", reasoning: "" };
    const message = { ...before, ...answer, role: "ai", selected: true, running: true };
    this.messages.set(answer.id, message);
    this.#points.set(answer.id, { content: 0, reasoning: 0 });
    this.#select(message);
  }

  #end(id, outcome) {
    const before = this.messages.get(id) ?? { id, parent_id: null, role: "ai", message: "", selected: true };
    const known = Object.entries(outcome).filter(([, value]) => value !== undefined);
    this.messages.set(id, { ...before, ...Object.fromEntries(known), running: false });
    this.#points.delete(id);
    this.#tell("ended", id);
  }

  #add(message) {
    this.messages.set(message.id, message);
    if (message.role !== "notice") this.#select(message);
    this.#tell("message", message.id);
  }

  /** Look at this message, and so at everything above it. */
  #select(message) {
    const chosen = new Map(); // by parent
    for (let at = message; at; at = this.messages.get(at.parent_id)) chosen.set(at.parent_id, at.id);
    for (const other of this.messages.values()) {
      if (other.role === "notice" || !chosen.has(other.parent_id)) continue;
      other.selected = other.id === chosen.get(other.parent_id);
    }
  }

  #unqueue(matches) {
    const left = this.queue.filter((prompt) => !matches(prompt));
    if (left.length === this.queue.length) return false;
    this.queue = left;
    this.#tell("queue");
    return true;
  }

  #removeBranch(id) {
    const { parent_id, selected } = this.messages.get(id);
    this.messages.delete(id);
    this.#points.delete(id);
    for (const child of [...this.messages.values()].filter((message) => message.parent_id === id)) {
      this.#removeBranch(child.id);
    }
    const turns = [...this.messages.values()].filter(({ role }) => role !== "notice");
    const left = turns.findLast((other) => other.parent_id === parent_id);
    if (selected && left) left.selected = true;
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** How many code points `text` has: the unit of a delta's offset. A lone surrogate counts as one. */
export function codePoints(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
