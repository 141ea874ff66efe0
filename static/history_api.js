/**
 * What the server keeps of conversations, over HTTP: the list, the search, changes, files.
 *
 * Owns the addresses, and makes a sentence of every refusal. Knows nothing of the DOM and holds no state.
 *
 * @typedef {object} Conversation one line of the list
 * @property {string} id
 * @property {string} title
 * @property {boolean} pinned
 * @property {boolean} running whether an answer is being written in it
 * @property {number} created Unix seconds
 * @property {number} updated Unix seconds
 *
 * @typedef {object} Found where a search was met
 * @property {string | null} message_id the message that holds it; none: the title does
 * @property {string} snippet
 * @property {[number, number][]} marks of what was met in the snippet: first code point, and the one after the last
 *
 * @typedef {Conversation & Found} Hit
 * @typedef {{sessions: Conversation[], next: string | null}} Page
 *
 * @typedef {object} Imported
 * @property {number} imported conversations
 * @property {number} skipped those that were here already, and those that could not be taken
 * @property {string[]} problems why they could not, in sentences
 */
const UNAUTHORIZED = 401;
const NO_CONTENT = 204;
const UNAVAILABLE = 503;

/** The server refused, or nobody answered; the message says why. */
export class HistoryRefused extends Error {
  /** @param {string} message @param {number} [status] of HTTP; none: nobody answered */
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Whether nothing is kept at all, for now or by choice. */
  get isOff() {
    return this.status === UNAVAILABLE;
  }
}

export class HistoryApi {
  /**
   * @param {string | URL} base the address that the page was served from
   * @param {() => void} onStranger called when the server does not know us any more
   */
  constructor(base, onStranger = () => {}) {
    Object.assign(this, { base, onStranger });
  }

  /** @param {string | null} before a cursor of an earlier page; none: the first @returns {Promise<Page>} */
  page(before, limit, signal) {
    const query = new URLSearchParams({ limit: String(limit), ...(before && { before }) });
    return this.#ask(`api/sessions?${query}`, { signal });
  }

  /** @returns {Promise<Hit[]>} best first */
  async search(text, signal) {
    const { sessions } = await this.#ask(`api/sessions?${new URLSearchParams({ q: text })}`, { signal });
    return sessions;
  }

  /** @param {{title?: string, pinned?: boolean}} change */
  change(id, change) {
    const headers = { "Content-Type": "application/json" };
    return this.#ask(sessionPath(id), { method: "PATCH", headers, body: JSON.stringify(change) });
  }

  remove(id) {
    return this.#ask(sessionPath(id), { method: "DELETE" });
  }

  restore(id) {
    return this.#ask(`${sessionPath(id)}/restore`, { method: "POST" });
  }

  /** Where a conversation lies as a file; without an id, all of them. @param {"json" | "markdown"} format */
  exportAddress(format, id = null) {
    return new URL(`${id === null ? "api" : sessionPath(id)}/export?format=${format}`, this.base).href;
  }

  /**
   * Hand over a file of conversations. `fetch` does not say how much was sent, so an older interface does it.
   * @param {File} file
   * @param {(share: number) => void} onProgress how much has been sent, 0 to 1
   * @returns {Promise<Imported>}
   */
  import(file, onProgress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", new URL("api/import", this.base));
      request.responseType = "json";
      request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
      request.onerror = () => reject(unreachable());
      request.onload = () => {
        if (request.status < 300 && request.response) resolve(request.response);
        else reject(this.#refusal(request.response, request.status));
      };
      request.send(file);
    });
  }

  async #ask(path, options) {
    const response = await fetch(new URL(path, this.base), options).catch((error) => {
      throw error.name === "AbortError" ? error : unreachable();
    });
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw this.#refusal(answer, response.status);
    if (answer === null && response.status !== NO_CONTENT) throw unreachable(); // it was cut in the middle
    return answer;
  }

  #refusal(answer, status) {
    if (status === UNAUTHORIZED) this.onStranger();
    const reason = answer?.error?.message ?? answer?.error ?? answer?.detail;
    return new HistoryRefused(typeof reason === "string" ? reason : `The server answered with ${status}.`, status);
  }
}

function sessionPath(id) {
  return `api/sessions/${encodeURIComponent(id)}`;
}

function unreachable() {
  return new HistoryRefused("The server cannot be reached.");
}
