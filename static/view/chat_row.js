/**
 * One line of the list of conversations: a link, a mark while an answer is written, a button with its menu.
 *
 * Owns its nodes, which show one conversation after another as the list is scrolled, and the box a title is changed in.
 *
 * @typedef {import("../history_api.js").Conversation} Conversation
 */
import { element, icon, unseen } from "./elements.js";

const LONGEST_TITLE = 200; // characters

export class ChatRow {
  /** @type {Conversation} */ conversation;
  #stopRenaming = null;
  #title = element("span", { class: "chat-title", dir: "auto" });
  #mark = element("span", { class: "running-mark" }, unseen("An answer is being written"));

  /** @param {string} menuId the menu that the button opens */
  constructor(menuId) {
    this.link = element("a", { class: "chat-link", draggable: "false" }, this.#title, this.#mark);
    this.button = element(
      "button",
      { type: "button", class: "chat-more", "aria-haspopup": "menu", "aria-expanded": "false", "aria-controls": menuId },
      icon("more"),
    );
    this.element = element("li", { class: "chat-row" }, this.link, this.button);
  }

  /** Whether a person is at this line, so that it must stay where it is and what it is. */
  get isHeld() {
    return this.element.contains(document.activeElement) || this.button.ariaExpanded === "true";
  }

  /**
   * @param {Conversation} conversation
   * @param {{isCurrent: boolean, isStop: boolean, top: number, place: number, size: number}} how `isStop`: the Tab key
   *   comes here; `top` in pixels; `place` and `size` of its group, from 1
   */
  show(conversation, { isCurrent, isStop, top, place, size }) {
    if (conversation !== this.conversation) this.#describe(conversation);
    if (isCurrent) this.link.setAttribute("aria-current", "page");
    else this.link.removeAttribute("aria-current");
    this.link.tabIndex = this.button.tabIndex = isStop ? 0 : -1;
    this.element.style.transform = `translateY(${top}px)`;
    this.element.setAttribute("aria-posinset", String(place));
    this.element.setAttribute("aria-setsize", String(size));
  }

  /**
   * Have the title changed in place: Enter or leaving keeps what was written, Escape does not.
   * @param {(title: string) => void} onRenamed told of a title that is another
   */
  rename(onRenamed) {
    if (this.#stopRenaming) return;
    const before = this.conversation.title;
    const box = element("input", { class: "chat-rename", "aria-label": "Title", maxlength: String(LONGEST_TITLE) });
    box.value = before;
    const finish = (keep) => {
      if (!this.#stopRenaming) return;
      this.#stopRenaming = null;
      const title = box.value.trim();
      const hadFocus = document.activeElement === box;
      box.replaceWith(this.link);
      if (hadFocus) this.link.focus();
      if (keep && title && title !== before) onRenamed(title);
    };
    this.#stopRenaming = () => finish(false);
    box.addEventListener("keydown", (event) => {
      event.stopPropagation(); // neither the list's keys nor the page's
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault();
      finish(event.key === "Enter");
    });
    const left = () => document.activeElement !== box && finish(true);
    box.addEventListener("blur", () => queueMicrotask(left)); // by then a line that was only moved has its focus back
    this.link.replaceWith(box);
    box.focus();
    box.select();
  }

  /** This line is not needed for now. */
  remove() {
    this.#stopRenaming?.();
    this.element.remove();
  }

  #describe(conversation) {
    const { id, title, running } = conversation;
    this.conversation = conversation;
    this.link.href = `#${id}`;
    this.link.title = title;
    this.#title.textContent = title;
    this.#mark.hidden = !running;
    this.button.setAttribute("aria-label", `Options for ${title}`);
  }
}
