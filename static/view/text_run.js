/**
 * Append-only text in pieces, so that a megabyte of it is laid out a screenful at a time.
 *
 * Owns the nodes of one run of plain text or code. Knows nothing of markdown.
 */
import { element } from "./elements.js";

const LONGEST_PIECE = 2_000; // characters

export class TextRun {
  #piece = null;

  /** @param {HTMLElement} container filled with `.piece` blocks */
  constructor(container) {
    this.container = container;
    this.length = 0;
  }

  /** Append `text`; a full piece is left alone from then on. Pieces end at a line's end where there is one. */
  append(text) {
    this.length += text.length;
    let rest = text;
    while (rest) {
      const room = LONGEST_PIECE - (this.#piece?.length ?? LONGEST_PIECE);
      if (room <= 0) this.#begin();
      const taken = this.#fitting(rest);
      this.#piece.appendData(rest.slice(0, taken));
      rest = rest.slice(taken);
      if (rest) this.#piece = null;
    }
  }

  #begin() {
    this.#piece = document.createTextNode("");
    this.container.append(element("span", { class: "piece" }, this.#piece));
  }

  #fitting(text) {
    const room = LONGEST_PIECE - this.#piece.length;
    if (text.length <= room) return text.length;
    const lineEnd = text.lastIndexOf("\n", room - 1) + 1;
    if (lineEnd > 0) return lineEnd;
    const splitsPair = /[\uD800-\uDBFF]/.test(text[room - 1]);
    return splitsPair && room > 1 ? room - 1 : room;
  }
}
