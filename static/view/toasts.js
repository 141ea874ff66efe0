/**
 * Short messages that come and go: what was done, with a way back, or what could not be done.
 *
 * Owns their nodes and how long they stay. One that is pointed at or has the focus does not go.
 */
import { announce } from "./announcer.js";
import { element, icon } from "./elements.js";

const SHOWN_MS = 8_000;
const MOST = 6;

export class Toasts {
  /** @type {Toast[]} oldest first */ #shown = [];

  /** @param {HTMLElement} container */
  constructor(container) {
    this.container = container;
  }

  /**
   * @param {string} words
   * @param {{action?: {label: string, run: () => void}, stays?: boolean, isBad?: boolean}} [options] `stays`: until it
   *   is told otherwise
   */
  show(words, options = {}) {
    const toast = new Toast(words, options, () => (this.#shown = this.#shown.filter((other) => other !== toast)));
    this.#shown.push(toast);
    this.container.append(toast.element);
    if (this.#shown.length > MOST) this.#shown[0].close();
    announce(options.action ? `${words} ${options.action.label}: Control Z.` : words);
    return toast;
  }

  /** Do what the newest message offers. Returns whether one offered something. */
  undo() {
    const newest = this.#shown.findLast(({ action }) => action);
    newest?.act();
    return newest !== undefined;
  }
}

class Toast {
  #timer = 0;
  #words = element("span", { class: "toast-words" });

  constructor(words, { action, stays = false, isBad = false }, onClose) {
    this.action = action;
    this.onClose = onClose;
    const act = action && element("button", { type: "button", class: "text-button", click: () => this.act() }, action.label);
    const attributes = { class: `toast${isBad ? " bad" : ""}`, role: "group" };
    this.element = element("div", attributes, this.#words, ...(act ? [act] : []), this.#closeButton());
    this.say(words);
    if (!stays) this.#wait();
  }

  /** Say something else. */
  say(words) {
    this.#words.textContent = words;
    this.#words.title = words;
    this.element.setAttribute("aria-label", words);
  }

  act() {
    this.close();
    this.action.run();
  }

  close() {
    clearTimeout(this.#timer);
    this.element.remove();
    this.onClose();
  }

  #wait() {
    const isBusy = () => this.element.matches(":hover, :focus-within");
    this.#timer = setTimeout(() => (isBusy() ? this.#wait() : this.close()), SHOWN_MS);
  }

  #closeButton() {
    const attributes = { type: "button", class: "quiet-button", "aria-label": "Dismiss", click: () => this.close() };
    return element("button", attributes, icon("close"));
  }
}
