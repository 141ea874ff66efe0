/**
 * What the engine is doing, as far as this page knows it; what it does not know it does not show.
 *
 * @typedef {object} Knowledge
 * @property {boolean} connected
 * @property {import("./model_names.js").Model} [model] the one that answers
 * @property {Figures} [figures] of its engine, where the server has any
 * @property {number} running answers being made in this chat
 * @property {number} waiting prompts of this chat that wait
 * @property {import("./progress.js").Progress} [progress] of the running answer
 * @property {number} [speed] tokens per second of the last answer
 *
 * @typedef {object} Figures what the engine does for everybody
 * @property {number} running answers
 * @property {number} waiting
 * @property {number} blocks_used memory for conversations that running answers hold
 * @property {number} blocks_cached what is kept there of earlier ones
 * @property {number} blocks_total
 * @property {number} prompt_tokens of all prompts so far
 * @property {number} cached_tokens of those, the ones that need not be read again
 * @property {number} [tokens_per_second] of all answers together
 */
import { byId } from "./elements.js";
import { count, percent, speed as speedWords } from "./figures.js";
import { dotState, stateWords } from "./model_names.js";

/** @param {Knowledge} known */
export function showEngine(known) {
  const [dot, words] = stateOf(known);
  byId("engine-dot").dataset.state = dot;
  byId("engine-state").textContent = words;
  showSpeed(known);
  const figures = known.connected && known.model?.state === "ready" ? known.figures : undefined;
  const share = shareOf(known);
  setText(byId("engine-detail"), detailOf(known, figures));
  showBar(share);
  showMemory(share === null ? figures : undefined);
  showFigures(figures);
}

function stateOf({ connected, model, running, progress }) {
  if (!connected) return ["bad", "Not connected"];
  if (!model) return ["waiting", "Looking for the engine"];
  if (model.state === "loading") return ["waiting", "Loading the model"];
  if (dotState(model) === "bad") return ["bad", "Engine unavailable"];
  if (!running) return model.state === "available" ? ["off", "Loads when asked"] : [dotState(model), "Engine ready"];
  if (progress?.phase === "queued") return ["waiting", "Waiting for a place"];
  if (progress?.phase === "loading") return ["waiting", "Loading the model"];
  return ["good", progress?.phase === "prefill" ? "Reading" : "Answering"];
}

function detailOf({ connected, model, running, waiting, progress }, figures) {
  if (!connected || !model) return "";
  if (model.state === "loading" && model.progress !== undefined) return percent(model.progress);
  if (dotState(model) === "bad") return stateWords(model);
  if (figures) return figures.running || figures.waiting ? load(figures) : "Nothing is running";
  return running && progress?.phase !== "loading" ? load({ running, waiting }) : "";
}

function load({ running, waiting }) {
  return `${count(running)} running, ${count(waiting)} waiting`;
}

/** What the engine does at this moment for all, or what the last answer here was written at. */
function showSpeed({ connected, figures, speed }) {
  const now = connected ? figures?.tokens_per_second : undefined;
  const node = byId("engine-speed");
  setText(node, (now ?? speed) ? speedWords(now ?? speed) : "");
  node.title = now ? "Tokens a second, all running answers together" : "Tokens a second of the last answer";
}

function shareOf({ connected, model, running, progress }) {
  if (!connected) return null;
  if (running && progress?.total && progress.phase !== "decoding") return progress.done / progress.total;
  return model?.state === "loading" ? (model.progress ?? null) : null;
}

function showBar(share) {
  const bar = byId("engine-progress");
  bar.hidden = share === null;
  if (share !== null) bar.value = share;
  bar.setAttribute("aria-label", "Progress");
}

function showMemory(figures) {
  const bar = byId("engine-memory");
  bar.hidden = !figures;
  if (!figures) return;
  const [used, kept] = bar.children;
  used.style.width = `${100 * (figures.blocks_used / figures.blocks_total)}%`;
  kept.style.width = `${100 * (figures.blocks_cached / figures.blocks_total)}%`;
  bar.setAttribute("aria-label", memoryWords(figures));
  bar.title = memoryWords(figures);
}

function memoryWords({ blocks_used, blocks_cached, blocks_total }) {
  const [used, kept] = [percent(blocks_used / blocks_total), percent(blocks_cached / blocks_total)];
  return `Memory for conversations: ${used} in use, ${kept} kept from earlier ones`;
}

function showFigures(figures) {
  byId("engine-figures").hidden = !figures;
  if (!figures) return;
  const { blocks_used, blocks_cached, blocks_total, prompt_tokens, cached_tokens } = figures;
  const [fill, reused] = [byId("engine-fill"), byId("engine-reused")];
  fill.textContent = `${percent((blocks_used + blocks_cached) / blocks_total)} memory`;
  fill.title = memoryWords(figures);
  setText(reused, cached_tokens ? `${percent(cached_tokens / prompt_tokens)} reused` : "");
  reused.title = `${count(cached_tokens)} of ${count(prompt_tokens)} tokens were still known and not read again`;
}

function setText(node, text) {
  node.textContent = text;
  node.hidden = text === "";
}
