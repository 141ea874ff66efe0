/**
 * Blocks of code: language label, copy button, highlighting once a block is whole.
 *
 * Owns the highlighter, which is fetched when the first block needs it.
 */
import { colouredCode } from "../markdown.js";
import { copyButton } from "./copy.js";
import { element } from "./elements.js";
import { TextRun } from "./text_run.js";

const LONGEST_HIGHLIGHT = 12_000; // characters; longer code stays plain, so that colouring never holds up the page

let highlighter = null;

/** One block of code that may still be growing. */
export class CodeBlock {
  /** @param {string} language as the model named it; may be empty */
  constructor(language) {
    this.language = language;
    this.text = "";
    this.code = element("code");
    const label = language || "text";
    this.element = element(
      "figure",
      { class: "code-block" },
      element(
        "figcaption",
        {},
        element("span", { class: "code-language" }, label),
        copyButton(() => this.text, "Copy the code", "Copy"),
      ),
      element("pre", { tabindex: "0", role: "group", "aria-label": `Code, ${label}` }, this.code),
    );
    this.run = new TextRun(this.code);
  }

  append(text) {
    this.text += text;
    this.run.append(text);
  }

  /** The block is whole: colour it, if its language is known. */
  async finish() {
    if (!this.language || this.text.length > LONGEST_HIGHLIGHT) return;
    highlighter ??= import("../vendor/highlightjs/highlight.min.js").then((module) => module.default);
    const hljs = await highlighter;
    if (!hljs.getLanguage(this.language)) return;
    const { value } = hljs.highlight(this.text, { language: this.language, ignoreIllegals: true });
    this.code.replaceChildren(colouredCode(value));
  }
}

/** Turn the bare `<pre><code>` of rendered markdown into blocks; `finished` ones are coloured. */
export function dressCode(fragment, finished) {
  for (const pre of fragment.querySelectorAll("pre")) {
    const code = pre.querySelector("code");
    const language = /language-(\S+)/.exec(code?.className ?? "")?.[1] ?? "";
    const block = new CodeBlock(language);
    block.append(pre.textContent);
    pre.replaceWith(block.element);
    if (finished) block.finish();
  }
}
