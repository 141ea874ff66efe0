/**
 * Under an answer: why it ended early and the way on, its figures, its versions, and what can be done with it.
 *
 * @typedef {import("../store.js").Message} Message
 */
import { Actions, iconButton, namedButton } from "./buttons.js";
import { copyButton } from "./copy.js";
import { element } from "./elements.js";
import { count, duration, speed } from "./figures.js";
import { displayName } from "./model_names.js";

/** @type {Record<string, (message: Message) => string>} why an answer ended before it was done */
const ENDINGS = {
  length: ({ params, usage }) => {
    const limit = params?.max_tokens ?? usage?.completion_tokens;
    return limit ? `Cut at the limit of ${count(limit)} tokens.` : "Cut before it was done.";
  },
  cancelled: () => "Stopped before it was done.",
  interrupted: () => "The server was restarted before it was done.",
  abandoned: () => "Stopped, because nobody was watching.",
};
const WHOLE = new Set(["stop", undefined]);

export class AnswerFooter {
  #shown = null;

  /**
   * @param {{deeds: import("./branch.js").Deeds, arrows: import("./branch_arrows.js").BranchArrows,
   *          edit: () => void, showSource: (show: boolean) => void}} parts
   */
  constructor({ deeds, arrows, edit, showSource }) {
    this.deeds = deeds;
    this.ending = element("div", { class: "ending" });
    this.figures = element("span", { class: "figures" });
    this.actions = new Actions(() => [
      copyButton(() => this.#shown.message, "Copy the answer"),
      iconButton("again", "Answer again", () => deeds.regenerate(this.#shown.id)),
      iconButton("edit", "Edit the answer", edit),
      sourceButton(showSource),
      iconButton("delete", "Delete from here on", () => {
        this.actions.confirmDelete(deeds.size(this.#shown.id), () => deeds.remove(this.#shown.id));
      }),
    ]);
    this.buttons = element("span", { class: "answer-buttons" }, this.actions.element);
    this.line = element("div", { class: "answer-line" }, this.figures, arrows.element);
    this.element = element("div", { class: "answer-footer" }, this.line);
  }

  /** @param {Message} message */
  show(message) {
    const running = Boolean(message.running);
    if (running && this.#shown?.running) return;
    this.#shown = message;
    this.ending.remove();
    if (running) {
      this.figures.replaceChildren("Writing…");
      this.buttons.remove();
      return;
    }
    this.figures.replaceChildren(...describe(message).map(([words, title]) => element("span", { title }, words)));
    this.figures.after(this.buttons);
    if (ENDINGS[message.finish_reason]) this.#explain(message);
  }

  /** Nothing can be done with the answer any more but to read and copy it. */
  close() {
    this.ending.querySelector("button")?.remove();
    this.buttons.replaceChildren(copyButton(() => this.#shown.message, "Copy the answer"));
  }

  #explain(message) {
    this.remedy = null;
    this.ending.replaceChildren(element("span", {}, ENDINGS[message.finish_reason](message)));
    this.line.before(this.ending);
    this.offer();
  }

  /** Offer the way on after an early end: to continue where the model can, else to try again. */
  offer() {
    if (!this.ending.parentNode) return;
    const { deeds } = this;
    const { id } = this.#shown;
    const able = deeds.canResume(this.#shown);
    const name = able ? "Continue" : "Try again";
    if (this.remedy?.textContent === name) return;
    this.remedy?.remove();
    this.remedy = able
      ? namedButton("continue", name, () => deeds.resume(id))
      : namedButton("again", name, () => deeds.regenerate(id));
    this.ending.append(this.remedy);
  }
}

function sourceButton(showSource) {
  const button = iconButton("source", "Show the answer's source", () => {
    const show = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(show));
    showSource(show);
  });
  button.setAttribute("aria-pressed", "false");
  return button;
}

/** @param {Message} message the figures, each with what it means; what is unknown is left out */
function describe({ message, timings = {}, usage, finish_reason, error, model }) {
  const { tokens_per_second, ttft_ms } = timings;
  const cached = usage?.cached_tokens ? ` · ${count(usage.cached_tokens)} cached` : "";
  const ending = error ? "broken off" : WHOLE.has(finish_reason) || ENDINGS[finish_reason] ? "" : finish_reason;
  const isByHand = message && usage?.prompt_tokens === 0 && usage.completion_tokens === 0;
  const parts = [
    tokens_per_second && [speed(tokens_per_second), "Tokens a second while writing"],
    ttft_ms !== undefined && [`first token ${duration(ttft_ms)}`, "Time until the first token"],
    usage && !isByHand && [`${count(usage.completion_tokens)} tokens${cached}`, promptTitle(usage)],
    ending && [ending, "Why the answer ended"],
    isByHand ? ["edited", "Written by a person"] : model && [displayName(model), `Answered by ${model}`],
  ];
  return parts.filter(Boolean);
}

function promptTitle({ prompt_tokens, cached_tokens }) {
  const cached = cached_tokens ? `, ${count(cached_tokens)} of them from the cache` : "";
  return `Read ${count(prompt_tokens)} tokens${cached}`;
}
