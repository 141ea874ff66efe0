/**
 * One answer's card: its text as it is written, its thinking, and its footer.
 *
 * Owns the card's nodes. Drawing is done between frames (`frames.js`), so that a burst of text costs one drawing.
 *
 * @typedef {import("../store.js").Message} Message
 */
import { schedule, unschedule } from "../frames.js";
import { AnswerFooter } from "./answer_footer.js";
import { element, unseen } from "./elements.js";
import { MarkdownView } from "./markdown_view.js";
import { whenNear } from "./nearby.js";

export class AnswerView {
  #draw = (deadline) => {
    const drawn = this.view.work(deadline);
    if (drawn && !this.message.running) this.element.removeAttribute("aria-busy");
    return drawn;
  };
  #text = ""; // that is drawn, or soon will be
  #raw = null;
  #thoughts = null;

  /**
   * @param {Message} message
   * @param {{deeds: import("./branch.js").Deeds, arrows: import("./branch_arrows.js").BranchArrows,
   *          edit: () => void}} parts
   */
  constructor(message, { deeds, arrows, edit }) {
    this.body = element("div", { class: "body markdown" });
    this.view = new MarkdownView(this.body);
    this.footer = new AnswerFooter({ deeds, arrows, edit, showSource: (show) => this.#showSource(show) });
    this.element = element("article", { class: "message ai" }, unseen("Answer: "), this.body, this.footer.element);
    whenNear(this.element, () => this.footer.actions.build());
    this.update(message);
  }

  /** Take the message as it is now; what is new of it is drawn soon. @param {Message} message */
  update(message) {
    this.message = message;
    const { running, reasoning } = message;
    // A restarted server may know a little less of a running answer than was seen here. It will write the same again.
    if (!running || !this.#text.startsWith(message.message)) this.#text = message.message;
    this.element.classList.toggle("streaming", Boolean(running));
    if (reasoning) this.#think(reasoning);
    this.view.update(this.#text, !running);
    this.element.setAttribute("aria-busy", "true"); // until the whole text is there
    schedule(this.#draw);
    if (this.#raw) this.#raw.textContent = this.#text;
    this.footer.show(message);
  }

  /** Draw until `deadline`, rather than between the next frames. */
  work(deadline) {
    this.#draw(deadline);
  }

  /** The conversation was lost: what is there stays, and nothing will follow. */
  abandon() {
    if (this.message.running) this.update({ ...this.message, running: false, finish_reason: "interrupted" });
    this.footer.close();
  }

  remove() {
    unschedule(this.#draw);
    this.element.remove();
  }

  #think(reasoning) {
    if (!this.#thoughts) {
      this.#thoughts = element("div", { class: "thoughts-text" });
      const summary = element("summary", {}, "Thinking");
      this.body.before(element("details", { class: "thoughts" }, summary, this.#thoughts));
    }
    this.#thoughts.textContent = reasoning;
  }

  #showSource(show) {
    this.#raw?.remove();
    this.#raw = show ? element("pre", { class: "raw", tabindex: "0" }, this.message.message) : null;
    if (this.#raw) this.body.after(this.#raw);
    this.body.hidden = show;
  }
}
