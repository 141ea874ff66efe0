/**
 * Which conversation is on show: going to one, beginning a new one, and what becomes of one that is gone.
 *
 * Owns the way from one conversation to the next, and the address that names it. What a conversation holds is the
 * store's, what is drawn of it the list's. Event: `change`.
 *
 * @typedef {object} Parts
 * @property {import("./store.js").Store} store
 * @property {import("./socket.js").ConversationSocket} socket
 * @property {import("./view/messages.js").MessageList} list
 * @property {import("./view/loading.js").LoadingMessages} loading
 */
import { conversationInAddress, goTo, nameInAddress, stepToNew } from "./address.js";
import { announce } from "./view/announcer.js";
import { displayName } from "./view/model_names.js";

const RESTARTED = "The server was restarted. This conversation goes on.";
const KEPT = "You can still read it; what you write now begins a new one.";
const GONE = 4404;
/** Why a conversation is no more: when nothing of it is on the page, and when it is. */
const FORGOTTEN = [
  "The server no longer has that conversation. This is a new one.",
  `The server was restarted and no longer has this conversation. ${KEPT}`,
];
const DELETED = ["That conversation was deleted. This is a new one.", `This conversation was deleted elsewhere. ${KEPT}`];

export class Navigation extends EventTarget {
  /** Whether the server has greeted this conversation. */ isGreeted = false;
  /** Whether messages of the conversation are still to come. */ isOpening = false;
  /** @type {string | null} the message to show as soon as it is there */ #wanted = null;

  /** @param {Parts} parts */
  constructor(parts) {
    super();
    Object.assign(this, parts);
    addEventListener("popstate", () => {
      if (conversationInAddress() !== this.store.session) this.#open(conversationInAddress());
    });
  }

  /** Begin with the conversation that the address names. */
  start() {
    this.store.session = conversationInAddress();
    this.isOpening = this.store.session !== null;
    this.socket.connect();
  }

  /** The server's first word on a connection: which conversation this is. */
  greet({ session, epoch, head, model, message }) {
    const { store, list } = this;
    const asked = store.session;
    if (asked && asked !== session) this.#lose(FORGOTTEN);
    else if (asked && store.seq > 0 && epoch !== store.epoch) list.tell("server", RESTARTED);
    store.greet(session, epoch);
    if (!this.isGreeted) list.greet(`${message.replace(/\.*$/, ".")} Model: ${displayName(model || "none")}`);
    this.isGreeted = true;
    this.isOpening &&= head > 0;
  }

  /** Something of the conversation has come: from now on a reload comes back to it. */
  arrived() {
    this.isOpening = false;
    if (this.#wanted && this.store.messages.has(this.#wanted)) this.list.reveal(this.#wanted);
    this.#wanted = null;
    if (this.store.seq > 0) nameInAddress(this.store.session);
  }

  /** A connection was closed. Returns whether that was because the conversation is no more. */
  wasDeleted(closeCode) {
    if (closeCode !== GONE) return false;
    this.#lose(DELETED);
    this.socket.connect();
    return true;
  }

  /** Show a conversation, and a message of it once that is there. */
  show(id, messageId = null) {
    this.#wanted = messageId;
    if (id === this.store.session) this.arrived();
    else goTo(id);
  }

  /** Begin a new conversation; going back comes to this one. */
  begin() {
    if (this.list.isEmpty) return;
    stepToNew();
    this.#open(null);
  }

  /** Begin a new conversation in place of this one, which is deleted. */
  leave() {
    nameInAddress(null);
    this.#open(null);
  }

  /** @param {string | null} session none: a new one */
  #open(session) {
    const { store, socket, list, loading } = this;
    socket.drop(() => true);
    list.clear();
    loading.clear();
    store.clear();
    store.session = session;
    this.isGreeted = false;
    this.isOpening = session !== null;
    socket.connect();
    this.dispatchEvent(new Event("change"));
  }

  /** The conversation is no more; what the page has of it stays to be read. */
  #lose([without, here]) {
    const words = this.list.isEmpty ? without : here;
    this.list.keepAsIs(words);
    this.store.clear();
    announce(words);
    this.socket.drop((frame) => frame.type !== "user");
    nameInAddress(null);
  }
}
