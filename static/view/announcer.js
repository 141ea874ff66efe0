/**
 * What a screen reader is told: one polite line, for beginnings, ends and errors only.
 */
import { byId } from "./elements.js";

/** @param {string} sentence */
export function announce(sentence) {
  const line = byId("live-status");
  line.textContent = "";
  requestAnimationFrame(() => (line.textContent = sentence)); // a change, even when the sentence is the same
}
