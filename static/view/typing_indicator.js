/**
 * "AI is typing", or how far an answer is, while no text of it has come.
 *
 * Owns one element and the place in the conversation where it stands when it is shown.
 */
import { element } from "./elements.js";
import { progressWords } from "./progress.js";

export class TypingIndicator {
  #words = element("span", { class: "typing-words" });
  #node;

  constructor() {
    const dots = element("span", { class: "typing-dots", "aria-hidden": "true" }, ...[1, 2, 3].map(() => element("i")));
    this.#node = element("div", { class: "message typing" }, this.#words, dots);
    this.place = element("div", { class: "typing-place" });
  }

  get isShown() {
    return this.#node.isConnected;
  }

  show(message) {
    this.#words.textContent = message.replace(/(\.\.\.|…)$/, "");
    if (!this.isShown) this.place.append(this.#node);
  }

  /** @param {import("./progress.js").Progress} progress */
  showProgress(progress) {
    this.show(progressWords(progress));
  }

  hide() {
    this.#node.remove();
  }
}
