/**
 * A search as it is typed: asks once the typing rests, and only the answer to the last question counts.
 *
 * Owns the waiting and the question that is under way. Knows nothing of the DOM. Event: `change`, of what follows.
 *
 * @typedef {import("./history_api.js").Hit} Hit
 * @typedef {import("./history_api.js").HistoryApi} HistoryApi
 */
const REST_MS = 120;

export class Search extends EventTarget {
  text = "";
  /** @type {Hit[] | null} the answer; none: there is none yet, or it was a refusal */ hits = null;
  /** @type {string | null} why the server refused */ problem = null;
  #isPending = false;
  #timer = 0;
  /** @type {AbortController | null} */ #asking = null;

  /** @param {HistoryApi} api */
  constructor(api) {
    super();
    this.api = api;
  }

  /** Whether the answer to what was typed last is still to come. */
  get isPending() {
    return this.#isPending;
  }

  /** Search for `text`, soon; nothing ends the search. What was found before stays until there is an answer. */
  type(text) {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.text = text.trim();
    this.#isPending = this.text !== "";
    if (this.text) this.#timer = setTimeout(() => this.#ask(), REST_MS);
    else this.#answer(null, null);
  }

  async #ask() {
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const hits = await this.api.search(this.text, asking.signal);
      if (this.#asking === asking && !asking.signal.aborted) this.#answer(hits, null);
    } catch (error) {
      if (!asking.signal.aborted) this.#answer(null, error.message);
    }
  }

  #answer(hits, problem) {
    this.#isPending = false;
    Object.assign(this, { hits, problem });
    this.dispatchEvent(new Event("change"));
  }
}
