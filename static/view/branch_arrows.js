/**
 * ‹ 2/3 ›: which of the messages that stand in one place is on show, and the way to the others.
 */
import { enable, iconButton } from "./buttons.js";
import { element } from "./elements.js";

export class BranchArrows {
  #ids = [];
  #at = 0;

  /** @param {(id: string) => void} select */
  constructor(select) {
    this.select = select;
    this.element = element("span", { class: "branches", role: "group", "aria-label": "Versions", hidden: true });
  }

  /**
   * @param {string[]} ids of all that stand here, oldest first
   * @param {string} id of the one on show
   */
  show(ids, id) {
    this.#ids = ids;
    this.#at = ids.indexOf(id);
    this.#draw();
  }

  /** Whether it shows these already. @param {string[]} ids */
  shows(ids) {
    return ids.length === this.#ids.length && ids.every((id, index) => id === this.#ids[index]);
  }

  /** The count runs ahead of the server, so that quick presses go as far as they were meant to. */
  #go(steps) {
    this.#at += steps;
    this.#draw();
    this.select(this.#ids[this.#at]);
  }

  #draw() {
    const last = this.#ids.length - 1;
    this.element.hidden = last < 1;
    if (last < 1) return;
    if (!this.count) this.#build();
    this.count.textContent = `${this.#at + 1}/${last + 1}`;
    enable(this.back, this.#at > 0);
    enable(this.on, this.#at < last);
  }

  /** Most messages have one version, and never need the buttons. */
  #build() {
    this.back = iconButton("chevron-left", "Previous version", () => this.#go(-1));
    this.on = iconButton("chevron-right", "Next version", () => this.#go(1));
    this.count = element("span", { class: "figures" });
    this.element.append(this.back, this.count, this.on);
  }
}
