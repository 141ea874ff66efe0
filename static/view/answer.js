/**
 * One answer: its text as it is written, its thinking, and a footer of figures.
 *
 * Owns the card's nodes. Drawing is done between frames (`frames.js`), so that a burst of text costs one drawing.
 *
 * @typedef {import("../store.js").Message} Message
 */
import { schedule, unschedule } from "../frames.js";
import { copyButton } from "./copy.js";
import { element, icon, unseen } from "./elements.js";
import { count, duration, speed } from "./figures.js";
import { MarkdownView } from "./markdown_view.js";
import { displayName } from "./model_names.js";

/** @type {Record<string, (message: Message) => string>} why an answer ended */
const ENDINGS = {
  stop: () => "",
  length: ({ params, usage }) => `cut at the limit of ${count(params?.max_tokens ?? usage.completion_tokens)} tokens`,
  cancelled: () => "stopped",
  interrupted: () => "interrupted",
  abandoned: () => "stopped, nobody was watching",
};

export class AnswerView {
  #draw = (deadline) => {
    const drawn = this.view.work(deadline);
    if (drawn && !this.message.running) this.element.removeAttribute("aria-busy");
    return drawn;
  };
  #raw = null;
  #thoughts = null;

  /** @param {Message} message */
  constructor(message) {
    this.message = message;
    this.body = element("div", { class: "body markdown" });
    this.view = new MarkdownView(this.body);
    this.footer = element("div", { class: "answer-footer" });
    this.element = element("article", { class: "message ai" }, unseen("Answer: "), this.body, this.footer);
    this.update(message);
  }

  /** Take the message as it is now; what is new of it is drawn soon. @param {Message} message */
  update(message) {
    this.message = message;
    this.element.classList.toggle("streaming", Boolean(message.running));
    if (message.reasoning) this.#think(message.reasoning);
    this.view.update(message.message, !message.running);
    this.element.setAttribute("aria-busy", "true"); // until the whole text is there
    schedule(this.#draw);
    if (this.#raw) this.#raw.textContent = message.message;
    if (!message.running) this.#finish();
    else if (!this.footer.firstChild) this.footer.append(element("span", { class: "figures" }, "Writing…"));
  }

  /** The conversation was lost: what is there stays, and nothing will follow. */
  abandon() {
    if (this.message.running) this.update({ ...this.message, running: false, finish_reason: "interrupted" });
  }

  remove() {
    unschedule(this.#draw);
    this.element.remove();
  }

  #think(reasoning) {
    if (!this.#thoughts) {
      this.#thoughts = element("div", { class: "thoughts-text" });
      const summary = element("summary", {}, "Thinking");
      this.body.before(element("details", { class: "thoughts" }, summary, this.#thoughts));
    }
    this.#thoughts.textContent = reasoning;
  }

  #finish() {
    const figures = describe(this.message).map(([words, title]) => element("span", { title }, words));
    const buttons = element(
      "span",
      { class: "answer-buttons" },
      this.#rawButton(),
      copyButton(() => this.message.message, "Copy the answer"),
    );
    this.footer.replaceChildren(element("span", { class: "figures" }, ...figures), buttons);
  }

  #rawButton() {
    const title = "Show the answer's source";
    const button = element("button", { type: "button", class: "quiet-button", title, "aria-label": title });
    button.append(icon("source"));
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const show = !this.#raw;
      button.setAttribute("aria-pressed", String(show));
      this.#raw?.remove();
      this.#raw = show ? element("pre", { class: "raw", tabindex: "0" }, this.message.message) : null;
      if (this.#raw) this.body.after(this.#raw);
      this.body.hidden = show;
    });
    return button;
  }
}

/** @param {Message} message the footer's figures, each with what it means; what is unknown is left out */
function describe({ timings = {}, usage, finish_reason, error, model, params }) {
  const { tokens_per_second, ttft_ms } = timings;
  const cached = usage?.cached_tokens ? ` · ${count(usage.cached_tokens)} cached` : "";
  const ending = error ? "broken off" : (ENDINGS[finish_reason]?.({ params, usage }) ?? finish_reason);
  const parts = [
    tokens_per_second && [speed(tokens_per_second), "Tokens a second while writing"],
    ttft_ms !== undefined && [`first token ${duration(ttft_ms)}`, "Time until the first token"],
    usage && [`${count(usage.completion_tokens)} tokens${cached}`, promptTitle(usage)],
    ending && [ending, "Why the answer ended"],
    model && [displayName(model), `Answered by ${model}`],
  ];
  return parts.filter(Boolean);
}

function promptTitle({ prompt_tokens, cached_tokens }) {
  const cached = cached_tokens ? `, ${count(cached_tokens)} of them from the cache` : "";
  return `Read ${count(prompt_tokens)} tokens${cached}`;
}
