/**
 * Markdown drawn while it is being written.
 *
 * Owns the nodes of one text. Finished blocks are frozen and never drawn again; only the last, unfinished block is. A
 * block that would take too long is shown as plain text. Draws within the deadline it is given and goes on in the next
 * frame. Knows nothing of messages or of where the text comes from.
 */
import { renderMarkdown, renderUnfinished, wholeBlocks } from "../markdown.js";
import { CodeBlock, dressCode } from "./code.js";
import { element } from "./elements.js";
import { TextRun } from "./text_run.js";

const FIRST_WINDOW = 4_096; // characters looked at together; doubled while that is quick
const LARGEST_WINDOW = 65_536;
const QUICK_MS = 8;
const REST_FACTOR = 4; // an unfinished block that took c to draw is drawn again after this many times c
const BLOCKS_AT_ONCE = 16;
const MOST_BLOCKS = 2_000; // of one answer; what follows is shown as plain text
const LONGEST_UNDECIDED = 400;
const CODE_PORTION = 16_384;

const OPENING_FENCE = /^ {0,3}(`{3,}|~{3,})([^\n]*)\n/;
/** An unfinished last line that may yet become a list, a heading, a rule or a fence: better shown a moment later. */
const UNDECIDED_LINE = /(?:^|\n)[ \t]*(?:[-+*=_]+|#{1,6}|>+|\d{1,9}[.)]?|`+|~+|(?:`{3,}|~{3,})[^\n]*)[ \t]*$/;
/** The head of a table before its second line is whole, or an unfinished row. */
const UNDECIDED_TABLE = /(?:^|\n)\|[^\n]*(?:\n\|?[ \t:|-]*)?$/;

export class MarkdownView {
  #text = "";
  #done = false;
  #frozen = 0; // characters that are drawn for good
  #blocks = 0; // and how many blocks they are
  #window = FIRST_WINDOW;
  #env = {};
  #tail = [];
  #tailText = null;
  /** @type {{frozen: number, nodes: ChildNode[]} | null} the block that the end of the text had drawn for good */
  #end = null;
  #resting = 0;
  #isWaiting = false;
  /** @type {{block: CodeBlock, mark: string, midLine: boolean} | null} */ #code = null;
  /** @type {TextRun | null} */ #plain = null;

  /** @param {HTMLElement} container */
  constructor(container) {
    this.container = container;
  }

  /**
   * Take the whole text so far; `work` draws it. A text that does not begin with what is drawn is drawn anew. One that
   * was done may go on after all.
   * @param {string} text
   * @param {boolean} done nothing will follow
   */
  update(text, done) {
    const normal = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    if (this.#done && !done) this.#thaw();
    if (!normal.startsWith(this.#text.slice(0, this.#frozen))) this.#restart();
    this.#text = normal;
    this.#done = done;
  }

  /** Draw until `deadline`. @returns {boolean} whether all there is to draw is drawn */
  work(deadline) {
    this.#isWaiting = false;
    while (this.#step()) if (performance.now() >= deadline) return false;
    return !this.#isWaiting;
  }

  /** Draw one piece. @returns {boolean} whether there may be another */
  #step() {
    if (this.#code) return this.#growCode();
    if (this.#plain) return this.#growPlain();
    if (this.#blocks >= MOST_BLOCKS) return this.#openPlain();
    return this.#openCode() || this.#freezeBlocks() || this.#drawTail();
  }

  /** The last block is not the last word: what comes may belong to it. */
  #thaw() {
    if (!this.#end) return this.#restart();
    for (const node of this.#end.nodes) node.remove();
    this.#frozen = this.#end.frozen;
    this.#end = null;
  }

  #restart() {
    this.container.replaceChildren();
    Object.assign(this.#env, { references: {} });
    this.#frozen = this.#blocks = 0;
    this.#window = FIRST_WINDOW;
    this.#tail = [];
    this.#tailText = this.#code = this.#plain = this.#end = null;
  }

  /** Begin a code block when the unfrozen text starts with a fence. */
  #openCode() {
    const fence = OPENING_FENCE.exec(this.#text.slice(this.#frozen, this.#frozen + 500));
    if (!fence || (fence[1][0] === "`" && fence[2].includes("`"))) return false;
    this.#dropTail();
    const block = new CodeBlock(fence[2].trim().split(/\s+/)[0]);
    this.container.append(block.element);
    this.#code = { block, mark: fence[1], midLine: false };
    this.#frozen += fence[0].length;
    this.#blocks += 1;
    return true;
  }

  /** Append what has come to the open code block, up to its closing fence. */
  #growCode() {
    const code = this.#code;
    const portion = this.#text.slice(this.#frozen, this.#frozen + CODE_PORTION);
    const final = this.#done && this.#frozen + portion.length === this.#text.length;
    let taken = 0;
    while (taken < portion.length) {
      const newline = portion.indexOf("\n", taken);
      const next = newline < 0 ? portion.length : newline + 1;
      const line = portion.slice(taken, next);
      if (!code.midLine && line.length <= LONGEST_UNDECIDED && /^ {0,3}[`~]*[ \t]*\n?$/.test(line)) {
        const whole = newline >= 0 || final;
        if (whole && closes(line, code.mark)) {
          code.block.append(portion.slice(0, taken));
          this.#frozen += next;
          return this.#closeCode();
        }
        if (!whole) break;
      }
      code.midLine = newline < 0;
      taken = next;
    }
    code.block.append(portion.slice(0, taken));
    this.#frozen += taken;
    return final ? this.#closeCode() : taken > 0;
  }

  #closeCode() {
    this.#code.block.finish();
    this.#code = null;
    return true;
  }

  #openPlain() {
    this.#dropTail();
    const container = element("div", { class: "plain" });
    this.container.append(container);
    this.#plain = new TextRun(container);
    this.#blocks += 1;
    return true;
  }

  /** Append plain text up to the next empty line, where markdown may begin again. */
  #growPlain() {
    const end = this.#blocks > MOST_BLOCKS ? -1 : this.#text.indexOf("\n\n", this.#frozen);
    const stop = end < 0 ? this.#text.length : end + 2;
    const portion = this.#text.slice(this.#frozen, Math.min(stop, this.#frozen + CODE_PORTION));
    this.#plain.append(portion);
    this.#frozen += portion.length;
    if (this.#frozen === stop && end >= 0) this.#plain = null;
    return portion.length > 0;
  }

  /** Draw all blocks but the last for good. @returns {boolean} whether there is more to look at */
  #freezeBlocks() {
    const seen = this.#text.slice(this.#frozen, this.#frozen + this.#window);
    const whole = this.#frozen + seen.length === this.#text.length;
    const decided = whole && !this.#done ? seen.slice(0, seen.length - undecided(seen)) : seen;
    const { end, blocks } = wholeBlocks(decided, BLOCKS_AT_ONCE);
    if (end > 0) {
      this.#freeze(seen.slice(0, end));
      this.#blocks += blocks;
      return true;
    }
    return !whole && this.#widen(seen);
  }

  /** One block fills the window: look further if blocks like it are quick to draw, else show it as plain text. */
  #widen(seen) {
    const began = performance.now();
    renderMarkdown(seen);
    if (performance.now() - began < QUICK_MS && this.#window < LARGEST_WINDOW) {
      this.#window *= 2;
      return true;
    }
    return this.#openPlain();
  }

  /** @returns {ChildNode[]} what was drawn */
  #freeze(markdown) {
    this.#dropTail();
    const fragment = renderMarkdown(markdown, this.#env);
    dressCode(fragment, true);
    const nodes = [...fragment.childNodes];
    this.container.append(fragment);
    this.#frozen += markdown.length;
    this.#window = FIRST_WINDOW;
    return nodes;
  }

  /** Draw the last block as it stands, or wait when it was drawn a moment ago. @returns {false} nothing is left */
  #drawTail() {
    const rest = this.#text.slice(this.#frozen);
    if (this.#done) {
      if (rest) this.#end = { frozen: this.#frozen, nodes: this.#freeze(rest) };
      return false;
    }
    const shown = rest.slice(0, rest.length - undecided(rest));
    this.#isWaiting = shown !== this.#tailText && performance.now() < this.#resting;
    if (shown === this.#tailText || this.#isWaiting) return false;
    const began = performance.now();
    const fragment = renderUnfinished(shown, this.#env);
    dressCode(fragment, false);
    this.#dropTail();
    this.#tail = [...fragment.childNodes];
    this.#tailText = shown;
    this.container.append(fragment);
    const took = performance.now() - began;
    this.#resting = performance.now() + (took > 2 ? took * REST_FACTOR : 0);
    return false;
  }

  #dropTail() {
    for (const node of this.#tail) node.remove();
    this.#tail = [];
    this.#tailText = null;
  }
}

/** How many characters at the end of unfinished `text` are better not shown yet. */
function undecided(text) {
  const end = text.slice(-LONGEST_UNDECIDED);
  const match = UNDECIDED_LINE.exec(end) ?? UNDECIDED_TABLE.exec(end);
  if (!match || (match.index === 0 && text.length > LONGEST_UNDECIDED)) return 0;
  return match[0].length - (match[0].startsWith("\n") ? 1 : 0);
}

/** Whether a line of fence characters closes a block that `mark` opened. */
function closes(line, mark) {
  const fence = line.trim();
  return fence.length >= mark.length && fence === mark[0].repeat(fence.length);
}
