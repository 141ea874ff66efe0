/**
 * The conversation on the page: the selected branch, what the page itself has to say, and what waits at the end.
 *
 * Owns the log's element. Follows the store's events, and keeps the focus and the place on the screen when another
 * branch comes on show.
 *
 * @typedef {import("../store.js").Store} Store
 * @typedef {import("./branch.js").Deeds} Deeds
 * @typedef {import("./branch.js").View} View
 */
import { Branch } from "./branch.js";
import { element } from "./elements.js";
import { problemElement } from "./problem.js";
import { TypingIndicator } from "./typing_indicator.js";
import { Waiting } from "./waiting.js";

const DRAWN_AT_ONCE_MS = 40;

export class MessageList {
  /** @type {Map<string, HTMLElement>} what the server said of itself, by what it is about */ #told = new Map();
  #above = null; // the element below which the conversation begins: a greeting, or what the server no longer has
  #hasKept = false;
  #wanted = null; // the id of a message to bring into view as soon as its branch is on show

  /**
   * @param {HTMLElement} container
   * @param {Store} store
   * @param {Deeds} deeds
   * @param {import("./follow.js").Follower} follower
   * @param {() => void} write puts the focus where a message is written
   */
  constructor(container, store, deeds, follower, write) {
    Object.assign(this, { container, store, deeds, follower, write });
    this.typing = new TypingIndicator();
    this.waiting = new Waiting(deeds);
    this.branch = new Branch(store, deeds, this.typing.place);
    container.append(this.typing.place, this.waiting.element);
    store.addEventListener("reset", () => this.#synchronize());
    store.addEventListener("message", ({ detail }) => this.#keepFocus(() => this.#show(store.messages.get(detail))));
    for (const event of ["selected", "removed"]) store.addEventListener(event, () => this.#exchange());
    for (const event of ["text", "ended"]) store.addEventListener(event, ({ detail }) => this.#change(detail));
    store.addEventListener("queue", () => this.#keepFocus(() => this.#showWaiting()));
  }

  /** Put a message of the page's own at the end. Returns its element. */
  addMessage(message, type) {
    const node = element("div", { class: `message ${type}` }, message);
    this.typing.place.before(node);
    return node;
  }

  /** Say what went wrong and what to do. Returns its element. */
  addProblem(problem) {
    const node = problemElement(problem);
    this.typing.place.before(node);
    return node;
  }

  /** Say something at the end, instead of what was said of the same matter before. @param {string} [matter] */
  tell(matter, words) {
    this.#told.get(matter)?.remove();
    const node = this.addMessage(words, "system");
    if (matter) this.#told.set(matter, node);
  }

  /** Put the server's first words above the conversation. */
  greet(message) {
    this.#above = element("div", { class: "message system greeting" }, message);
    this.container.prepend(this.#above);
  }

  /** Draw what a person just said, before the server confirms it. */
  addPending(cmd_id, message) {
    this.waiting.addSending(cmd_id, message);
  }

  /** The server has it, or refused it. @returns {string | undefined} what was said */
  removePending(cmd_id) {
    return this.waiting.removeSending(cmd_id);
  }

  /** Say how far the running answer is while no text comes. */
  showProgress(progress) {
    const answer = this.store.messages.get(progress.id);
    if (!answer.message && this.store.tree.isShown(progress.id)) this.typing.showProgress(progress);
  }

  /** The server no longer has this conversation: keep it on the page, above `words` and apart from what comes. */
  keepAsIs(words) {
    this.#hasKept = !this.isEmpty;
    this.branch.abandon();
    this.typing.hide();
    this.#above = this.addMessage(words, "system");
  }

  /** Whether there is nothing of a conversation on the page. */
  get isEmpty() {
    return this.branch.isEmpty && !this.#hasKept && this.waiting.isEmpty && !this.store.running.length;
  }

  /** Empty the page for another conversation. */
  clear() {
    this.branch.clear();
    this.#told.clear();
    this.typing.hide();
    this.waiting.clear();
    this.#above = this.#wanted = null;
    this.#hasKept = false;
    this.container.replaceChildren(this.typing.place, this.waiting.element);
  }

  /** What can be done with the messages may be another: the models are. */
  reconsider() {
    this.branch.reconsider();
  }

  /** Let a message, said or waiting, be rewritten in place. @param {string} [draft] to go on with */
  edit(id, draft) {
    if (this.store.queue.some((prompt) => prompt.id === id)) this.waiting.edit(id, draft);
    else if (draft === undefined) this.branch.get(id)?.edit();
    else this.branch.keepDraft(id, draft);
  }

  /** Let the person's last message be rewritten. @returns {boolean} whether there is one */
  editLast() {
    const last = this.store.queue.at(-1) ?? this.branch.lastSaid?.message;
    if (last) this.edit(last.id);
    return last !== undefined;
  }

  /** Bring a message into view, on whichever branch it is. */
  reveal(id) {
    const view = this.branch.get(id);
    this.#wanted = view ? null : id;
    if (view) this.follower.show(view.elements[0]);
    else if (this.store.messages.has(id)) this.deeds.select(id);
  }

  /** A message is new. Whoever asked for it sees it, whatever gave way to it; everybody else stays in place. */
  #show({ cmd_id }) {
    if (!this.deeds.isOwn(cmd_id)) return this.#exchange();
    this.#synchronize();
    this.follower.scrollToBottom();
  }

  /** Make a change that may take the button with the focus away: then the focus goes to where messages are written. */
  #keepFocus(change) {
    const { activeElement } = document;
    change();
    if (!activeElement.isConnected && document.activeElement === document.body) this.write();
  }

  /** Show the store's branch, reusing the elements that are there. @returns {View[]} those that are new */
  #synchronize() {
    const path = this.branch.path();
    const gone = this.branch.missing(path);
    const focus = focusWithin(gone);
    const fresh = this.branch.show(path, gone, this.#above);
    for (const { message } of fresh) this.removePending(message.cmd_id);
    if (focus) this.#refocus(focus, fresh);
    this.#showTyping();
    this.#showWaiting();
    return fresh;
  }

  /** Something else may be on show: draw it where the one before stood, and keep that place on the screen. */
  #exchange() {
    const [before] = this.branch.missing(this.branch.path());
    if (before) this.follower.hold(placeOf(before), () => placeOf(this.#drawVisible(this.#synchronize())));
    else this.#synchronize();
    if (this.branch.get(this.#wanted)) this.reveal(this.#wanted);
  }

  /** Draw at once what of the new views is seen. @returns {View | undefined} the first */
  #drawVisible(fresh) {
    const deadline = performance.now() + DRAWN_AT_ONCE_MS;
    for (const view of fresh) {
      if (performance.now() >= deadline || this.follower.isBelow(view.elements[0])) break;
      view.work?.(deadline);
    }
    return fresh[0];
  }

  #change(id) {
    if (this.branch.get(id)) this.branch.update(id);
    else if (this.store.tree.isShown(id)) this.#synchronize();
  }

  #showTyping() {
    const waits = ({ id }) => !this.branch.get(id) && this.store.tree.isShown(id);
    if (!this.store.running.some(waits)) this.typing.hide();
    else if (!this.typing.isShown) this.typing.show("AI is typing");
  }

  #showWaiting() {
    for (const [id, draft] of this.waiting.update(this.store.queue)) this.branch.keepDraft(id, draft);
  }

  /** Give the focus to what took the place of the button that had it, or back to where messages are written. */
  #refocus({ parent, deed }, fresh) {
    const heir = fresh.find(({ message }) => message.parent_id === parent);
    heir?.build?.();
    const button = deed && heir?.elements[0].querySelector(`[data-deed="${deed}"]`);
    if (button) button.focus({ preventScroll: true });
    else this.write();
  }
}

/** Which button of these views has the focus, if one has. */
function focusWithin(views) {
  const { activeElement } = document;
  const owner = views.find(({ elements }) => elements.some((node) => node.contains(activeElement)));
  return owner && { parent: owner.message.parent_id, deed: activeElement.dataset.deed };
}

/** What of a view is to stay where it is: its beginning, and the buttons that lead to other versions. */
function placeOf(view) {
  if (!view) return null;
  const [beginning] = view.elements;
  return { beginning, control: view.arrows?.element.offsetParent ? view.arrows.element : beginning };
}
