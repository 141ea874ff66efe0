/**
 * The files that go along with what is being written: a row of chips, each of which can be taken away again.
 *
 * @typedef {import("../files.js").TextFile} TextFile
 */
import { bytesOf, tokensOf } from "../files.js";
import { announce } from "./announcer.js";
import { iconButton } from "./buttons.js";
import { element, icon } from "./elements.js";
import { bytes, count } from "./figures.js";

export class FileChips {
  /** @type {readonly TextFile[]} */ #files = [];

  /**
   * @param {() => void} changed called when a person takes one away
   * @param {() => void} leave puts the focus elsewhere when the last one goes
   */
  constructor(changed, leave) {
    Object.assign(this, { changed, leave });
    this.element = element("ul", { class: "file-chips", "aria-label": "Attached files", hidden: true });
  }

  get files() {
    return this.#files;
  }

  set files(files) {
    this.#files = files;
    this.element.replaceChildren(...files.map((file, index) => this.#chip(file, index)));
    this.element.hidden = files.length === 0;
  }

  #chip(file, index) {
    const facts = `${bytes(bytesOf(file.text))} · ≈ ${count(tokensOf(file.text))} tokens`;
    return element(
      "li",
      { class: "file-chip" },
      icon("file"),
      element("span", { class: "file-name", title: file.name }, file.name),
      element("span", { class: "file-facts figures" }, facts),
      iconButton("close", `Remove ${file.name}`, () => this.#remove(index)),
    );
  }

  #remove(index) {
    const { name } = this.#files[index];
    this.files = this.#files.filter((_, place) => place !== index);
    const buttons = this.element.querySelectorAll("button");
    if (buttons.length) buttons[Math.min(index, buttons.length - 1)].focus();
    else this.leave();
    announce(`${name} is removed.`);
    this.changed();
  }
}
