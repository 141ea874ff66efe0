/**
 * The turn of a model: its answer and, below it, the failure that ended it. A failure before any word stands alone.
 *
 * @typedef {import("../store.js").Message} Message
 * @typedef {import("./branch.js").Deeds} Deeds
 */
import { AnswerView } from "./answer.js";
import { BranchArrows } from "./branch_arrows.js";
import { namedButton } from "./buttons.js";
import { Editor } from "./editor.js";
import { element } from "./elements.js";
import { problemElement } from "./problem.js";

export class AnswerTurn {
  #answer = null;
  #problem = null;
  #told = null; // the error that the problem tells of

  /**
   * @param {Message} message
   * @param {Deeds} deeds
   */
  constructor(message, deeds) {
    this.deeds = deeds;
    this.arrows = new BranchArrows((id) => deeds.select(id));
    this.message = message;
  }

  get elements() {
    return [this.#answer?.element, this.#problem].filter(Boolean);
  }

  /** @param {Message} message @param {string[]} siblings their ids, this one's included */
  update(message, siblings) {
    this.message = message;
    this.arrows.show(siblings, message.id);
    this.#show();
  }

  /** Let it be rewritten in place, as another version of it. */
  edit(draft = this.message.message) {
    this.editor?.open(draft);
  }

  get draft() {
    return this.editor?.draft ?? null;
  }

  /** Make the buttons that were put off. */
  build() {
    this.#answer?.footer.actions.build();
  }

  /** Draw what there is to draw until `deadline`. */
  work(deadline) {
    this.#answer?.work(deadline);
  }

  /** Offer to go on with the answer, or not any more, if its model is another. */
  reconsider() {
    this.#answer?.footer.offer();
    if (this.#problem) this.#offer();
  }

  /** The conversation was lost: what is there stays, and nothing will follow. */
  abandon() {
    this.#answer?.abandon();
    this.arrows.element.remove();
    this.remedies?.remove();
  }

  remove() {
    this.#answer?.remove();
    this.#problem?.remove();
  }

  #show() {
    const { message, reasoning, error, running } = this.message;
    if (this.#answer) this.#answer.update(this.message);
    else if (message || reasoning || running || !error) this.#begin();
    if (error !== this.#told) this.#tell(error);
  }

  #begin() {
    const edit = () => this.edit();
    this.#answer = new AnswerView(this.message, { deeds: this.deeds, arrows: this.arrows, edit });
    const save = (text) => text === this.message.message || this.deeds.edit(this.message.id, text);
    this.editor = new Editor(this.#answer.element, { name: "The answer", saveWords: "Save", save });
    this.#problem?.before(this.#answer.element);
  }

  #tell(error) {
    this.#told = error;
    const before = this.#problem;
    this.#problem = error ? this.#problemElement(error) : null;
    if (before) before.replaceWith(...[this.#problem].filter(Boolean));
    else if (this.#problem) this.#answer?.element.after(this.#problem);
  }

  #problemElement(error) {
    this.remedies = element("span", { class: "remedies" });
    this.#offer();
    const node = problemElement(error, this.remedies);
    if (!this.#answer) node.append(this.arrows.element);
    return node;
  }

  #offer() {
    const { deeds, message } = this;
    const again = namedButton("again", "Try again", () => deeds.regenerate(message.id));
    const goOn = namedButton("continue", "Continue", () => deeds.resume(message.id));
    this.remedies.replaceChildren(...(deeds.canResume(message) ? [goOn] : []), again);
  }
}
