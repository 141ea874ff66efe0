/**
 * Models that are being pulled or loaded: one centred message each, with bytes and percent, gone when it is over.
 */
import { element } from "./elements.js";
import { bytes, percent } from "./figures.js";
import { displayName } from "./model_names.js";

export class LoadingMessages {
  /** @type {Map<string, HTMLElement>} by model */
  #shown = new Map();

  /** @param {(message: string, type: string) => HTMLElement} addMessage */
  constructor(addMessage) {
    this.addMessage = addMessage;
  }

  /** @param {{model: string, message: string, done?: number, total?: number}} frame */
  show({ model, message, done = 0, total = 0 }) {
    if (message === "ready" || (total > 0 && done >= total && /ready|success/i.test(message))) return this.end(model);
    const node = this.#shown.get(model) ?? this.addMessage("", "loading");
    this.#shown.set(model, node);
    const amount = total ? `${bytes(done)} of ${bytes(total)} · ${percent(done / total)}` : "";
    const bar = element("progress", { class: "bar", max: "1", "aria-label": "Progress" });
    if (total) bar.value = done / total;
    const head = element("span", {}, `${displayName(model)}: ${message}`);
    node.replaceChildren(head, element("span", { class: "figures" }, amount), bar);
  }

  /** It is over for `model`, well or not. */
  end(model) {
    this.#shown.get(model)?.remove();
    this.#shown.delete(model);
  }

  clear() {
    for (const model of this.#shown.keys()) this.end(model);
  }
}
