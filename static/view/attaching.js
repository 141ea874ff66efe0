/**
 * The ways by which files come to a message: a button, a drop on the conversation, and the clipboard.
 *
 * Owns the file picker, and the line that says why a file was not taken. What is taken goes to the composer.
 *
 * @typedef {import("./composer.js").Composer} Composer
 */
import { FileProblem, freeName, LONG_PASTE, MOST_FILES, readFile, withFiles } from "../files.js";
import { announce } from "./announcer.js";
import { attachDrop } from "./dropping.js";
import { byId } from "./elements.js";
import { count } from "./figures.js";

export class Attaching {
  /** @param {Composer} composer */
  constructor(composer) {
    this.composer = composer;
    this.problem = byId("attach-problem");
    const picker = byId("attach-files");
    byId("attach-button").addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      this.take([...picker.files]);
      picker.value = ""; // the same file may be chosen again
    });
    attachDrop(byId("main"), (files) => this.take(files));
    composer.input.addEventListener("paste", (event) => this.#pasted(event));
    composer.input.addEventListener("input", () => this.forget());
  }

  /** Have files go along with the message. Of those that cannot, it is said why. @param {File[]} files */
  async take(files) {
    const problems = [];
    let taken = 0;
    for (const file of files) {
      try {
        this.#add(await readFile(file));
        taken += 1;
      } catch (error) {
        if (!(error instanceof FileProblem)) throw error;
        problems.push(error.message);
      }
    }
    this.#say(problems);
    if (taken) announce(taken === 1 ? "One file is attached." : `${taken} files are attached.`);
    if (matchMedia("(pointer: fine)").matches) this.composer.input.focus();
  }

  /** What was not taken matters no more. */
  forget() {
    this.#say([]);
  }

  /** @param {import("../files.js").TextFile} file @throws {FileProblem} */
  #add({ name, text }) {
    const { files, words, limits } = this.composer;
    if (files.length >= MOST_FILES) throw new FileProblem(`${name} was not attached: a message takes ${MOST_FILES} files.`);
    const file = { name: freeName(name, files), text };
    const length = withFiles(words, [...files, file]).length;
    if (length > limits.chars) {
      const sizes = `${count(text.length)} characters, and a message takes ${count(limits.chars)} in all`;
      throw new FileProblem(`${name} was not attached: it has ${sizes}.`);
    }
    this.composer.files = [...files, file];
  }

  #pasted(event) {
    const { clipboardData } = event;
    const text = clipboardData.getData("text/plain");
    if (!text && clipboardData.files.length) this.take([...clipboardData.files]);
    else if (text.length >= LONG_PASTE) this.take([new File([text], "Pasted text.txt")]);
    else return;
    event.preventDefault();
  }

  #say(problems) {
    this.problem.textContent = problems.join(" ");
    this.problem.hidden = problems.length === 0;
  }
}
