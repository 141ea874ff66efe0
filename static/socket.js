/**
 * The connection to the server: opens it, keeps it, comes back after a cut, and loses no command.
 *
 * Owns the WebSocket, the waiting between attempts and the outbox of commands that no answer acknowledged yet. Knows
 * nothing of what the frames mean beyond hello, ack and the errors that name a command; and nothing of the DOM.
 *
 * Events: `state` (see `state`), and `frame` with the parsed frame in `detail`.
 */
const FIRST_DELAY_MS = 3_000;
const LONGEST_DELAY_MS = 30_000;
const SILENCE_MS = 10_000; // a command or ping unanswered for this long means that the line is dead
export const UNAUTHORIZED = 4401;
const NEVER_AGAIN = new Set([4400, UNAUTHORIZED, 4404]);
const AT_ONCE = 4408;
const FRAME_TOO_BIG = 1009;
const MOST_TRIES = 5;
const LONGEST_SILENT_WAIT_S = 5; // of a command that came too soon; past it whoever said it is told
const WHEN_TOLD = new Set([1012, 1013, 4429]);

/**
 * How long to wait before the next attempt, in milliseconds; `null`: do not come back.
 * @param {number} code the close code
 * @param {string} reason may hold `retry_after=<seconds>`
 * @param {number} attempt failed attempts in a row before this one
 * @param {number} random 0 to 1, so that a thousand pages do not come back in the same moment
 */
export function retryDelay(code, reason, attempt, random) {
  if (NEVER_AGAIN.has(code)) return null;
  if (code === AT_ONCE && attempt === 0) return 0;
  const told = /retry_after=(\d+(?:\.\d+)?)/.exec(reason ?? "");
  if (WHEN_TOLD.has(code) && told) return Math.min(Number(told[1]), 3600) * 1000 * (1 + random / 4);
  const delay = Math.min(FIRST_DELAY_MS * 2 ** attempt, LONGEST_DELAY_MS);
  return delay * (0.8 + 0.4 * random);
}

/** Whether the server asks to say a command again in a moment. After a long wait nobody expects an answer any more. */
function isSoonOver({ code, seq, cmd_id, retry_after }) {
  return code === "rate_limited" && seq === undefined && !(cmd_id && retry_after > LONGEST_SILENT_WAIT_S);
}

/** 128 random bits in hexadecimal: the name of a command. */
export function newCommandId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @typedef {object} Place where the conversation stands
 * @property {string | null} session
 * @property {string | null} epoch
 * @property {number} seq
 */
export class ConversationSocket extends EventTarget {
  /** @type {WebSocket | null} */ ws = null;
  /** @type {"connecting" | "connected" | "disconnected" | "stopped"} stopped: it will not come back by itself */
  state = "disconnected";
  /** @type {number | null} why the last connection was closed; none: there is one, or one is being made */ closeCode = null;
  /** @type {Map<string, {frame: object, tries: number}>} commands by `cmd_id`, oldest first */
  #outbox = new Map();
  #attempt = 0;
  #retryTimer = 0;
  #silenceTimer = 0;

  /**
   * @param {string} url
   * @param {() => Place} place asked at every attempt
   */
  constructor(url, place) {
    super();
    this.url = url;
    this.place = place;
  }

  /** Open the connection, or open it anew. What was unacknowledged is said again once the server greets. */
  connect() {
    this.#abandon();
    this.closeCode = null;
    this.#become("connecting");
    const ws = new WebSocket(this.#address());
    this.ws = ws;
    ws.onmessage = (event) => this.ws === ws && this.#receive(event.data);
    ws.onclose = (event) => this.ws === ws && this.#closed(event.code, event.reason);
  }

  /** The server does not know us: do not come back before `connect` is called. What was not answered yet is kept. */
  rest() {
    if (this.ws?.readyState === WebSocket.CONNECTING) this.ws = null; // it is about to be refused
    this.#abandon();
    this.closeCode = UNAUTHORIZED;
    this.#become("stopped");
  }

  /** Come back now rather than when the waiting is over; when the line looks open, make sure that it is. */
  wake() {
    if (this.state === "disconnected") this.connect();
    else if (this.state === "connected") this.send({ type: "ping" });
  }

  /**
   * Say a command, now or as soon as there is a connection, until the server has answered it.
   * @returns {string} its `cmd_id`
   */
  send(command) {
    const cmd_id = newCommandId();
    const frame = { ...command, cmd_id };
    this.#outbox.set(cmd_id, { frame, tries: 0 });
    if (this.state === "connected") this.#say(cmd_id);
    return cmd_id;
  }

  /** A command has been answered: it need not be said again. */
  settle(cmd_id) {
    this.#outbox.delete(cmd_id);
    if (this.#outbox.size === 0) clearTimeout(this.#silenceTimer);
  }

  /** Drop the commands that `matches`; used when they make no sense in another session. */
  drop(matches) {
    for (const [cmd_id, { frame }] of this.#outbox) if (matches(frame)) this.settle(cmd_id);
  }

  #address() {
    const { session, epoch, seq } = this.place();
    const url = new URL(this.url);
    url.searchParams.set("sessions", "1"); // this page shows the list of conversations
    if (session) url.searchParams.set("session", session);
    if (session && epoch && seq > 0) {
      url.searchParams.set("epoch", epoch);
      url.searchParams.set("after", String(seq));
    }
    return url.href;
  }

  #receive(text) {
    const frame = JSON.parse(text);
    clearTimeout(this.#silenceTimer);
    if (isSoonOver(frame)) return this.#sayAgainIn(frame.retry_after ?? 1);
    if (frame.cmd_id && (frame.type === "ack" || frame.type === "error" || frame.type === "pong")) {
      this.settle(frame.cmd_id);
    }
    const hello = frame.type === "system" && frame.session !== undefined;
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
    if (hello) this.#greeted();
    else if (this.#outbox.size) this.#listenForSilence();
  }

  #greeted() {
    this.#attempt = 0;
    this.#become("connected");
    this.#sayAll();
  }

  #sayAll() {
    for (const cmd_id of this.#outbox.keys()) this.#say(cmd_id);
  }

  /** A command came too soon after others; the server did not even look which. */
  #sayAgainIn(seconds) {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#sayAll(), seconds * 1000 + 500 * Math.random());
  }

  #say(cmd_id) {
    const command = this.#outbox.get(cmd_id);
    command.tries += 1;
    if (command.tries > MOST_TRIES) return this.#refuse(cmd_id, "internal", "The server did not take this message.");
    this.ws.send(JSON.stringify(command.frame));
    this.#listenForSilence();
  }

  /** Give a command up, with an error as the server would say it. */
  #refuse(cmd_id, code, message) {
    this.settle(cmd_id);
    this.dispatchEvent(new CustomEvent("frame", { detail: { type: "error", code, message, cmd_id } }));
  }

  #listenForSilence() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.connect(), SILENCE_MS);
  }

  #closed(code, reason) {
    this.#abandon();
    this.drop((frame) => frame.type === "ping");
    if (code === FRAME_TOO_BIG) {
      const told = "That message is too long for this server. Shorten it.";
      for (const cmd_id of this.#outbox.keys()) this.#refuse(cmd_id, "message_too_long", told);
    }
    this.closeCode = code;
    const delay = retryDelay(code, reason, this.#attempt, Math.random());
    this.#attempt += 1;
    if (delay !== null) this.#retryTimer = setTimeout(() => this.connect(), delay);
    this.#become(delay === null ? "stopped" : "disconnected");
  }

  #abandon() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    const ws = this.ws;
    this.ws = null;
    ws?.close();
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
