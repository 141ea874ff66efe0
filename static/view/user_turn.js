/**
 * What a person said: a bubble, and under it the quiet buttons for it.
 *
 * @typedef {import("../store.js").Message} Message
 * @typedef {import("./branch.js").Deeds} Deeds
 */
import { BranchArrows } from "./branch_arrows.js";
import { Actions, iconButton } from "./buttons.js";
import { copyButton } from "./copy.js";
import { Editor } from "./editor.js";
import { element, unseen } from "./elements.js";
import { whenNear } from "./nearby.js";
import { Said } from "./said.js";

/** A bubble with what a person said. */
export function bubble(message, state = "") {
  const said = new Said();
  said.show(message);
  const article = element("article", { class: `message user ${state}`.trim() }, unseen("You: "), said.body, said.files);
  return { article, said };
}

export class UserTurn {
  /**
   * @param {Message} message
   * @param {Deeds} deeds
   */
  constructor(message, deeds) {
    this.message = message;
    this.element = bubble(message.message).article;
    this.arrows = new BranchArrows((id) => deeds.select(id));
    this.actions = new Actions(() => [
      copyButton(() => this.message.message, "Copy your message"),
      iconButton("edit", "Edit your message", () => this.edit()),
      iconButton("delete", "Delete from here on", () => {
        this.actions.confirmDelete(deeds.size(message.id), () => deeds.remove(message.id));
      }),
    ]);
    whenNear(this.element, () => this.build());
    const save = (text) => deeds.edit(message.id, text);
    this.editor = new Editor(this.element, { name: "Your message", saveWords: "Save and send", save, takesFiles: true });
    this.footer = element("div", { class: "user-footer" }, this.actions.element, this.arrows.element);
    this.element.append(this.footer);
  }

  get elements() {
    return [this.element];
  }

  /** Make the buttons that were put off. */
  build() {
    this.actions.build();
  }

  /** @param {Message} message @param {string[]} siblings their ids, this one's included */
  update(message, siblings) {
    this.message = message;
    this.arrows.show(siblings, message.id);
  }

  /** Let it be rewritten in place. */
  edit(draft = this.message.message) {
    this.editor.open(draft);
  }

  get draft() {
    return this.editor.draft;
  }

  /** The conversation was lost: this can only be read. */
  abandon() {
    this.footer.remove();
  }

  remove() {
    this.element.remove();
  }
}
