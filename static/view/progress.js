/**
 * How far an answer is while no text of it comes, in a person's words.
 *
 * @typedef {object} Progress as the server tells it
 * @property {"queued" | "loading" | "prefill" | "decoding"} phase
 * @property {number} [done] bytes of the model, or tokens of the prompt
 * @property {number} [total] of them
 * @property {number} [cached] of the tokens that are done, those the engine still knew
 * @property {number} [position] in the queue, 1 is next
 */
import { count, percent } from "./figures.js";

/** @type {Record<Progress["phase"], (progress: Progress) => string>} */
const WORDS = {
  queued: ({ position }) => `Waiting for a free place${position ? `: ${ahead(position)}` : ""}`,
  loading: ({ done = 0, total = 0 }) => `Loading the model${total ? `, ${percent(done / total)}` : ""}`,
  prefill: ({ done = 0, total = 0, cached = 0 }) => {
    const remembered = cached ? `, ${count(cached)} remembered` : "";
    return `Reading your message${total ? `: ${count(done)} of ${count(total)} tokens${remembered}` : ""}`;
  },
  decoding: () => "AI is typing",
};

/** @param {Progress} progress */
export function progressWords(progress) {
  return (WORDS[progress.phase] ?? WORDS.decoding)(progress);
}

/** @param {number} position in the queue, 1 is next */
export function ahead(position) {
  const others = position - 1;
  if (!others) return "yours is next";
  return others === 1 ? "1 answer ahead of yours" : `${count(others)} answers ahead of yours`;
}
