/**
 * What a model is called and where it runs, in a person's words.
 *
 * @typedef {object} Model as `/api/models` lists it
 * @property {string} name `backend/name`
 * @property {string} backend
 * @property {string} state
 * @property {string} [reason]
 * @property {number} [progress]
 * @property {number} [size] bytes
 * @property {string} [quantization]
 * @property {number} [context_length] tokens
 * @property {number} [temperature] what its makers advise
 */
import { bytes, context, percent } from "./figures.js";

const WORDS = { smollm: "SmolLM", smollm2: "SmolLM2", smollm3: "SmolLM3", tinyllama: "TinyLlama", llada: "LLaDA" };
const PLACES = { pytorch: "in this process", ollama: "Ollama", openai: "model server", echo: "repeats what you say" };
const GROUPS = { pytorch: "In this process", ollama: "Ollama", openai: "Model server", echo: "Echo" };
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** "pytorch/smollm2-135m-instruct" as "SmolLM2 135M"; a name with a tag stays as its backend gives it. */
export function displayName(fullName) {
  const name = fullName.slice(fullName.indexOf("/") + 1);
  if (/[:/.\s]/.test(name)) return name;
  const words = name.split(/[-_]/).filter((word) => !/^(instruct|chat|it)$/i.test(word));
  return words.map(displayWord).join(" ") || name;
}

function displayWord(word) {
  if (/^\d+[mbk]$/i.test(word)) return word.toUpperCase();
  return WORDS[word.toLowerCase()] ?? word[0].toUpperCase() + word.slice(1);
}

/** @param {string} backend the heading of its models */
export function groupName(backend) {
  return GROUPS[backend] ?? backend;
}

/** @param {Model} model quantization, context and place, as far as they are known */
export function facts(model) {
  const place = PLACES[model.backend] ?? model.backend;
  const length = model.context_length && context(model.context_length);
  return [model.quantization, length, place].filter(Boolean).join(" · ");
}

/** @param {Model} model size, quantization and context for the list */
export function listFacts(model) {
  const length = model.context_length && `${context(model.context_length)} context`;
  return [model.size && bytes(model.size), model.quantization, length].filter(Boolean).join(" · ");
}

/** @param {Model} model its state in a few words; empty when it is simply ready */
export function stateWords(model) {
  switch (model.state) {
    case "ready":
      return "";
    case "loading":
      return model.progress === undefined ? "Loading" : `Loading ${percent(model.progress)}`;
    case "available":
      return "Not loaded yet";
    case "draining":
      return "Making room";
    default:
      return model.reason ?? "Not reachable";
  }
}

/** @param {Model} model the colour of its dot */
export function dotState(model) {
  if (model.state === "ready") return "good";
  if (model.state === "unreachable" || model.state === "failed") return "bad";
  return model.state === "available" ? "off" : "waiting";
}

/** Whether the page was opened from the computer that the server runs on. */
function isThisComputer() {
  return LOOPBACK.test(location.hostname);
}

/** @param {Model} model where what is written goes, and no more than is known about it */
export function privacy(model) {
  const name = displayName(model.name);
  if (model.backend === "pytorch") {
    const stays = isThisComputer() ? "Nothing you write leaves this computer." : "Nothing you write goes further.";
    return `${name} runs inside this server. ${stays}`;
  }
  if (model.backend === "ollama") return `${name} answers through Ollama.`;
  if (model.backend === "openai") return `${name} answers on another server.`;
  if (model.backend === "echo") return "The echo model repeats what you write, to try things out.";
  return `${name} answers through ${model.backend}.`;
}
