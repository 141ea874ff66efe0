/**
 * The conversation on the page: one element a message, appended and changed in place, never drawn anew as a whole.
 *
 * Owns the nodes in the log, from the first message to the prompts that wait at its end. Follows the store's events.
 *
 * @typedef {import("../store.js").Store} Store
 * @typedef {import("../store.js").Message} Message
 *
 * @typedef {object} View one message's elements
 * @property {HTMLElement[]} elements
 * @property {HTMLElement} last of them
 * @property {(message: Message) => void} update
 * @property {() => void} remove
 * @property {() => void} [abandon] nothing more will come of it
 */
import { AnswerView } from "./answer.js";
import { element, icon, unseen } from "./elements.js";
import { ordinal } from "./figures.js";
import { explain } from "./problems.js";
import { progressWords } from "./progress.js";

export class MessageList {
  /** @type {Map<string, View>} by message */
  #views = new Map();
  #above = null; // the element below which the conversation begins: a greeting, or what the server no longer has
  #hasKept = false;
  #typing = null;
  #waiting = element("div", { class: "waiting-prompts" });

  /**
   * @param {HTMLElement} container
   * @param {Store} store
   * @param {(id: string) => void} removeQueued asked when a person takes a waiting prompt back
   */
  constructor(container, store, removeQueued) {
    this.container = container;
    this.store = store;
    this.removeQueued = removeQueued;
    this.pending = new Map();
    container.append(this.#waiting);
    store.addEventListener("reset", () => this.#synchronize());
    store.addEventListener("message", ({ detail }) => this.#show(store.messages.get(detail)));
    store.addEventListener("text", ({ detail }) => this.#write(store.messages.get(detail)));
    store.addEventListener("ended", ({ detail }) => this.#end(store.messages.get(detail)));
    store.addEventListener("selected", () => this.#synchronize());
    store.addEventListener("removed", () => this.#synchronize());
    store.addEventListener("queue", () => this.#showWaiting());
  }

  /** Put a message of the page's own at the end. Returns its element. */
  addMessage(message, type) {
    const node = element("div", { class: `message ${type}` }, message);
    this.#waiting.before(node);
    return node;
  }

  /** Put the server's first words above the conversation. */
  greet(message) {
    this.#above = element("div", { class: "message system greeting" }, message);
    this.container.prepend(this.#above);
  }

  /** Say what went wrong and what to do. Returns its element. */
  addProblem(problem) {
    const node = problemElement(problem);
    this.#waiting.before(node);
    return node;
  }

  showTypingIndicator(message) {
    const dots = element("span", { class: "typing-dots", "aria-hidden": "true" }, ...[1, 2, 3].map(() => element("i")));
    this.#typing ??= element("div", { class: "message typing" }, element("span", { class: "typing-words" }), dots);
    this.#typing.firstChild.textContent = message.replace(/(\.\.\.|…)$/, "");
    if (!this.#typing.isConnected) this.#waiting.before(this.#typing);
  }

  removeTypingIndicator() {
    this.#typing?.remove();
    this.#typing = null;
  }

  /** Say how far the running answer is while no text comes. */
  showProgress(progress) {
    if (!this.store.messages.get(progress.id)?.message) this.showTypingIndicator(progressWords(progress));
  }

  /** Draw what a person just said, before the server confirms it. */
  addPending(cmd_id, message) {
    this.pending.set(cmd_id, message);
    this.#showWaiting();
  }

  /** The server has it, or refused it. @returns {string | undefined} what was said */
  removePending(cmd_id) {
    const message = this.pending.get(cmd_id);
    if (this.pending.delete(cmd_id)) this.#showWaiting();
    return message;
  }

  /** The server no longer has this conversation: keep it on the page, above `words` and apart from what comes. */
  keepAsIs(words) {
    this.#hasKept = !this.isEmpty;
    for (const view of this.#views.values()) view.abandon?.();
    this.#views.clear();
    this.removeTypingIndicator();
    this.#above = this.addMessage(words, "system");
  }

  /** Whether there is nothing of a conversation on the page. */
  get isEmpty() {
    const { store } = this;
    return !this.#views.size && !this.#hasKept && !this.pending.size && !store.queue.length && !store.running.length;
  }

  /** Empty the page for another conversation. */
  clear() {
    for (const view of this.#views.values()) view.remove();
    this.#views.clear();
    this.removeTypingIndicator();
    this.pending.clear();
    this.#above = null;
    this.#hasKept = false;
    this.#waiting.replaceChildren();
    this.container.replaceChildren(this.#waiting);
  }

  /** Make the page show the store's path, reusing the elements that are there. */
  #synchronize() {
    const path = this.store.path();
    const wanted = new Set(path.map((message) => message.id));
    for (const [id, view] of this.#views) {
      if (wanted.has(id)) continue;
      view.remove();
      this.#views.delete(id);
    }
    let previous = this.#above;
    for (const message of path) {
      this.#settlePending(message);
      const view = this.#views.get(message.id);
      if (view) view.update(message);
      else if (!message.running || message.message) this.#place(message, previous);
      previous = this.#views.get(message.id)?.last ?? previous;
    }
    this.removeTypingIndicator();
    if (this.store.running.some((answer) => !answer.message)) this.showTypingIndicator("AI is typing");
    this.#showWaiting();
  }

  /** Put a message that is new at the end. */
  #append(message) {
    this.#place(message, this.#waiting.previousElementSibling);
    this.#views.get(message.id).last.classList.add("arriving");
  }

  #place(message, previous) {
    const view = viewOf(message);
    this.#views.set(message.id, view);
    if (previous) previous.after(...view.elements);
    else this.container.prepend(...view.elements);
  }

  #show(message) {
    this.#settlePending(message);
    if (message.running) this.showTypingIndicator("AI is typing");
    else this.#append(message);
  }

  #write(message) {
    if (!message?.message && !message?.reasoning) return;
    this.removeTypingIndicator();
    const view = this.#views.get(message.id);
    if (view) view.update(message);
    else this.#append(message);
  }

  #end(message) {
    this.removeTypingIndicator();
    const view = this.#views.get(message.id);
    if (view) view.update(message);
    else this.#append(message);
  }

  #settlePending({ cmd_id }) {
    if (cmd_id) this.removePending(cmd_id);
  }

  #showWaiting() {
    for (const { cmd_id } of this.store.queue) this.pending.delete(cmd_id);
    const queued = this.store.queue.map((prompt, index) => this.#queuedPrompt(prompt, index + 1));
    const pending = [...this.pending.values()].map((text) => userElement(text, "sending"));
    this.#waiting.replaceChildren(...queued, ...pending);
  }

  #queuedPrompt({ id, message }, position) {
    const title = "Take this message back";
    const remove = element("button", { type: "button", class: "quiet-button", title, "aria-label": title }, icon("close"));
    remove.addEventListener("click", () => this.removeQueued(id));
    const node = userElement(message, "queued");
    node.append(element("span", { class: "queued-note" }, `Queued, ${ordinal(position)} in line`, remove));
    return node;
  }
}

/** The view that draws a message. @param {Message} message @returns {View} */
function viewOf(message) {
  if (message.role === "ai") return new AnswerTurn(message);
  const { role, message: words } = message;
  const node = role === "user" ? userElement(words) : element("div", { class: "message system" }, words);
  const update = ({ message: text }) => (node.querySelector(".body") ?? node).replaceChildren(text);
  return { elements: [node], last: node, update, remove: () => node.remove() };
}

/** An answer and, below it, the failure that ended it. A failure before the first word stands alone. */
class AnswerTurn {
  #answer = null;
  #problem = null;

  /** @param {Message} message */
  constructor(message) {
    this.update(message);
  }

  get elements() {
    return [this.#answer?.element, this.#problem].filter(Boolean);
  }

  get last() {
    return this.elements.at(-1);
  }

  /** @param {Message} message */
  update(message) {
    if (this.#answer) this.#answer.update(message);
    else if (message.message || message.reasoning || !message.error) this.#answer = new AnswerView(message);
    if (!message.error || this.#problem) return;
    this.#problem = problemElement(message.error);
    this.#answer?.element.after(this.#problem);
  }

  abandon() {
    this.#answer?.abandon();
  }

  remove() {
    this.#answer?.remove();
    this.#problem?.remove();
  }
}

function problemElement(problem) {
  const [title, advice] = explain(problem);
  const words = element("span", {}, element("strong", {}, title), advice ? ` ${advice}` : "");
  return element("div", { class: "message error" }, icon("alert"), words);
}

function userElement(text, state = "") {
  const body = element("div", { class: "body" }, text);
  return element("article", { class: `message user ${state}`.trim() }, unseen("You: "), body);
}
