/**
 * What the engine is doing, as far as this page knows it; what it does not know it does not show.
 *
 * @typedef {object} Knowledge
 * @property {boolean} connected
 * @property {import("./model_names.js").Model} [model] the one that answers
 * @property {number} running answers being made in this chat
 * @property {number} waiting prompts of this chat that wait
 * @property {{phase: string, done?: number, total?: number, position?: number}} [progress] of the running answer
 * @property {number} [speed] tokens per second of the last answer
 */
import { byId } from "./elements.js";
import { ordinal, percent, speed as speedWords } from "./figures.js";
import { dotState, stateWords } from "./model_names.js";

/** @param {Knowledge} known */
export function showEngine(known) {
  const [dot, words] = stateOf(known);
  byId("engine-dot").dataset.state = dot;
  byId("engine-state").textContent = words;
  setText("engine-speed", known.speed ? speedWords(known.speed) : "");
  setText("engine-detail", detailOf(known));
  showBar(shareOf(known));
}

function stateOf({ connected, model, running, progress }) {
  if (!connected) return ["bad", "Not connected"];
  if (!model) return ["waiting", "Looking for the engine"];
  if (model.state === "loading") return ["waiting", "Loading the model"];
  if (dotState(model) === "bad") return ["bad", "Engine unavailable"];
  if (!running) return model.state === "available" ? ["off", "Loads when asked"] : [dotState(model), "Engine ready"];
  if (progress?.phase === "queued") return ["waiting", "Waiting for a slot"];
  if (progress?.phase === "loading") return ["waiting", "Loading the model"];
  return ["good", progress?.phase === "prefill" ? "Reading" : "Answering"];
}

function detailOf({ connected, model, running, waiting, progress }) {
  if (!connected || !model) return "";
  if (running) {
    const place = progress?.phase === "queued" && progress.position ? `, ${ordinal(progress.position)} in line` : "";
    return `${running} running, ${waiting} waiting${place}`;
  }
  if (model.state === "loading" && model.progress !== undefined) return percent(model.progress);
  return dotState(model) === "bad" ? stateWords(model) : "";
}

function shareOf({ connected, model, running, progress }) {
  if (!connected) return null;
  if (running && progress?.total && progress.phase !== "decoding") return progress.done / progress.total;
  return model?.state === "loading" ? (model.progress ?? null) : null;
}

function setText(id, text) {
  const node = byId(id);
  node.textContent = text;
  node.hidden = text === "";
}

function showBar(share) {
  const bar = byId("engine-progress");
  bar.hidden = share === null;
  if (share !== null) bar.value = share;
  bar.setAttribute("aria-label", "Progress");
}
