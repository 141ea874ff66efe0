/**
 * Rewriting a message where it stands: a text box in the place of its words.
 *
 * Owns the form while it is open. Knows nothing of what becomes of the text.
 */
import { partsOf, withFiles } from "../files.js";
import { element } from "./elements.js";
import { FileChips } from "./file_chips.js";
import { isOfAnInputMethod } from "./keys.js";

export class Editor {
  #form = null;
  #input = null;
  #opener = null;

  /**
   * @param {HTMLElement} home has the class `editing` while the editor is open in it
   * @param {{name: string, saveWords: string, save: (text: string) => boolean, takesFiles?: boolean}} options `save`
   *   says whether it was taken; `takesFiles`: files in the text stay files, which can only be taken away
   */
  constructor(home, { name, saveWords, save, takesFiles = false }) {
    Object.assign(this, { home, name, saveWords, save, takesFiles });
    this.chips = new FileChips(() => {}, () => this.#input.focus());
  }

  /** What is written and not saved yet; null when nothing is being edited. @returns {string | null} */
  get draft() {
    return this.#input && this.#text;
  }

  /** Begin with `text`, or go on where it is open. */
  open(text) {
    if (!this.#form) this.#build(text);
    this.#input.focus({ preventScroll: true });
    this.home.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.#form?.remove();
    this.#form = this.#input = null;
    this.home.classList.remove("editing");
    this.#opener?.focus({ preventScroll: true });
  }

  get #text() {
    return this.takesFiles ? withFiles(this.#input.value, this.chips.files) : this.#input.value.trim();
  }

  #build(text) {
    const { words, files } = this.takesFiles ? partsOf(text) : { words: text, files: [] };
    this.#opener = document.activeElement;
    this.#input = element("textarea", { "aria-label": this.name, rows: "1" });
    this.#input.value = words;
    this.chips.files = files;
    const hint = element("span", { class: "editor-hint" }, "Ctrl Enter to save · Esc to cancel");
    const cancel = element("button", { type: "button", class: "named-button", click: () => this.close() }, "Cancel");
    const save = element("button", { class: "named-button primary" }, this.saveWords);
    const row = element("div", { class: "editor-row" }, hint, cancel, save);
    this.#form = element("form", { class: "editor" }, this.chips.element, this.#input, row);
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#form.addEventListener("keydown", (event) => this.#pressed(event));
    this.home.append(this.#form);
    this.home.classList.add("editing");
    this.#input.setSelectionRange(words.length, words.length);
  }

  #pressed(event) {
    if (isOfAnInputMethod(event)) return;
    if (event.key === "Escape") {
      event.preventDefault();
      this.close();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#submit(event);
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#text;
    if (text && this.save(text)) this.close();
  }
}
