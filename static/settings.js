/**
 * How this person wants answers made, remembered by the browser. What was never touched is left to the server.
 *
 * Knows nothing of the DOM. Event: `change`.
 */
const KEY = "switchboard.settings";
const USUAL_TEMPERATURE = 0.7; // of a model whose makers advise none

export class Settings extends EventTarget {
  /** @type {{max_tokens?: number, temperature?: number}} only what the person chose */
  chosen = remembered();
  /** @type {{max_tokens: number, temperature: number}} what the server does by itself */
  defaults = { max_tokens: 200, temperature: USUAL_TEMPERATURE };

  get(name) {
    return this.chosen[name] ?? this.defaults[name];
  }

  set(name, value) {
    this.#keep({ ...this.chosen, [name]: value });
  }

  reset() {
    this.#keep({});
  }

  /** The server's own choices for the model that answers. What it does not say is as it was. */
  learn(max_tokens = this.defaults.max_tokens, temperature = USUAL_TEMPERATURE) {
    this.defaults = { max_tokens, temperature };
    this.dispatchEvent(new Event("change"));
  }

  /** What goes with a message: nothing when all is as the server does it. @param {number} context tokens */
  params(context) {
    const { max_tokens, ...others } = this.chosen;
    if (max_tokens === undefined && Object.keys(others).length === 0) return undefined;
    return max_tokens === undefined ? others : { ...others, max_tokens: Math.min(max_tokens, context) };
  }

  #keep(chosen) {
    this.chosen = chosen;
    localStorage.setItem(KEY, JSON.stringify(chosen));
    this.dispatchEvent(new Event("change"));
  }
}

function remembered() {
  try {
    const { max_tokens, temperature } = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const kept = {};
    if (Number.isInteger(max_tokens) && max_tokens > 0) kept.max_tokens = max_tokens;
    if (Number.isFinite(temperature) && temperature >= 0 && temperature <= 2) kept.temperature = temperature;
    return kept;
  } catch {
    return {}; // not ours, or damaged: the defaults are better than a broken page
  }
}
