/**
 * What a chat without messages shows: one question, where the model runs, and four ways to begin.
 *
 * @typedef {import("./model_names.js").Model} Model
 */
import { byId, element } from "./elements.js";
import { privacy, stateWords } from "./model_names.js";

const STARTERS = [
  ["What is the capital of France?", "a quick fact"],
  ["How can I sleep better?", "some advice"],
  ["Why is the sky blue?", "an explanation"],
  ["Write a Python function that adds two numbers", "some code"],
];

/** @param {(prompt: string) => void} onStart */
export function attachStarters(onStart) {
  const buttons = STARTERS.map(([prompt, kind]) =>
    element(
      "button",
      { type: "button", class: "starter", click: () => onStart(prompt) },
      element("span", {}, prompt),
      element("small", {}, kind),
    ),
  );
  byId("starters").replaceChildren(...buttons);
}

/** @param {boolean} empty @param {Model} [model] the one that answers */
export function showEmptyState(empty, model) {
  byId("empty-state").hidden = !empty;
  document.body.classList.toggle("empty", empty);
  const trouble = model ? stateWords(model) : "";
  byId("empty-place").textContent = model ? [privacy(model), trouble].filter(Boolean).join(" ") : "";
  for (const button of byId("starters").children) button.disabled = !model;
}
