/**
 * What a person said, inside its bubble: the words, and under them the files that went along, each closed to its name.
 *
 * @typedef {import("../files.js").TextFile} TextFile
 */
import { bytesOf, languageOf, partsOf } from "../files.js";
import { CodeBlock } from "./code.js";
import { element, icon } from "./elements.js";
import { bytes } from "./figures.js";

export class Said {
  #message = null;

  constructor() {
    this.body = element("div", { class: "body" });
    this.files = element("div", { class: "said-files" });
  }

  /** @param {string} message */
  show(message) {
    if (message === this.#message) return;
    this.#message = message;
    const { words, files } = partsOf(message);
    this.body.textContent = words;
    this.body.hidden = !words && files.length > 0;
    this.files.replaceChildren(...files.map(saidFile));
    this.files.hidden = files.length === 0;
  }
}

/** A file by its name; its text is drawn when somebody wants to see it. @param {TextFile} file */
function saidFile(file) {
  const name = element("span", { class: "file-name" }, file.name);
  const facts = element("span", { class: "file-facts figures" }, bytes(bytesOf(file.text)));
  const details = element("details", { class: "said-file" }, element("summary", {}, icon("file"), name, facts));
  const draw = () => {
    const block = new CodeBlock(languageOf(file));
    block.append(file.text);
    block.finish();
    details.append(block.element);
  };
  details.addEventListener("toggle", draw, { once: true });
  return details;
}
