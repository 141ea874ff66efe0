/**
 * The models that this server offers, and which one answers.
 *
 * Owns the list as last heard over HTTP or the socket, and what the models' engines do. Knows nothing of the DOM. Event:
 * `change`, of the list.
 *
 * @typedef {import("./view/model_names.js").Model} Model
 * @typedef {import("./view/engine_card.js").Figures} Figures
 */
export class Models extends EventTarget {
  /** @type {Model[]} */ all = [];
  current = "";
  /** @type {number | undefined} where an answer is cut unless the message says otherwise */ maxTokens;

  /** @type {Map<string, Figures>} by model */
  #figures = new Map();

  /**
   * @param {string | URL} base the address that the page was served from
   * @param {() => void} onStranger called when the server does not know us any more
   */
  constructor(base, onStranger = () => {}) {
    super();
    Object.assign(this, { base, onStranger });
  }

  /** The model that answers, when it is in the list. @returns {Model | undefined} */
  get selected() {
    return this.all.find((model) => model.name === this.current);
  }

  /** What the engine of the model that answers does, where the server knows. @returns {Figures | undefined} */
  get figures() {
    return this.#figures.get(this.current);
  }

  /** Whether a model can go on with an answer that has begun; of one that is not known, the server will tell. */
  continues(name) {
    return this.all.find((model) => model.name === name)?.capabilities?.includes("continue") ?? true;
  }

  /** Take over an engine's numbers. @param {Figures & {model: string}} figures */
  measure(figures) {
    this.#figures.set(figures.model, figures);
  }

  /** Take over a list as the server says it. */
  take({ current, max_tokens, models }) {
    this.current = current;
    this.maxTokens = max_tokens;
    this.all = models;
    this.dispatchEvent(new Event("change"));
  }

  /** Another model answers from now on. */
  select(name) {
    if (name === this.current) return;
    this.current = name;
    this.dispatchEvent(new Event("change"));
  }

  /** Ask for the list. Throws when the server cannot be reached. */
  async refresh() {
    const response = await this.#fetch("api/models");
    if (!response.ok) throw new Error(`The server has no list of models (${response.status}).`);
    this.take(await response.json());
  }

  /** Make `name` the model that answers. Throws with the reason when it cannot be loaded; then nothing has changed. */
  async load(name) {
    const response = await this.#fetch("api/models/load", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model: name }),
    });
    const answer = await response.json().catch(() => ({}));
    if (!answer.success) throw new Error(reasonOf(answer) ?? `The server answered with ${response.status}.`);
    this.select(answer.model ?? name);
  }

  async #fetch(path, options) {
    const response = await fetch(new URL(path, this.base), options);
    if (response.status === 401) this.onStranger();
    return response;
  }
}

function reasonOf({ error, detail }) {
  const reason = error ?? detail;
  return typeof reason === "string" ? reason : reason?.message;
}
