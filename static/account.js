/**
 * Whether this server asks who is there, and whether it knows us.
 *
 * Owns the log-in's requests. Knows nothing of the DOM. Events: `lost`, a log-in is needed; `found`, the server knows us
 * again; `changed`, it knows us as somebody else than before; `left`, we have logged out.
 */
const OWNER = "switchboard.owner"; // whose drafts this tab holds
const UNAUTHORIZED = 401;

export class Account extends EventTarget {
  /** Whether the server asks for a key at all. */ asks = false;
  /** The name of the key. @type {string | null} */ name = null;
  /** Whether the server did not know us when it was last asked. */ isLost = false;

  /** @param {URL} base the address that the page was served from */
  constructor(base) {
    super();
    this.base = base;
  }

  /** Ask the server who we are. Without a server nothing changes. */
  async look() {
    const response = await fetch(new URL("api/me", this.base)).catch(() => null);
    if (response?.status === UNAUTHORIZED) this.lose();
    const found = response?.ok && (await response.json().catch(() => null)); // cut in the middle, it says nothing
    if (found) this.#find(found);
  }

  /** Log in. Throws with a sentence when that is refused. @param {string} key */
  async logIn(key) {
    const response = await this.#post("api/login", JSON.stringify({ key })).catch(() => null);
    if (!response) throw new Error("The server cannot be reached. Try again in a moment.");
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(refusalWords(response, answer));
    this.#find(answer);
  }

  /** Log out: nothing of ours stays in this tab. Throws when the server cannot be reached. */
  async logOut() {
    await this.#post("api/logout");
    sessionStorage.clear();
    this.dispatchEvent(new Event("left"));
  }

  #post(path, body) {
    return fetch(new URL(path, this.base), { method: "POST", headers: { "Content-Type": "application/json" }, body });
  }

  #find({ authentication, name, owner }) {
    this.isLost = false;
    this.asks = authentication;
    this.name = name ?? null;
    const isOther = this.#remember(owner);
    this.dispatchEvent(new Event(isOther ? "changed" : "found"));
  }

  /** The server has answered that it does not know us. */
  lose() {
    this.asks = true;
    if (this.isLost) return;
    this.isLost = true;
    this.dispatchEvent(new Event("lost"));
  }

  /** Whether this tab was somebody else's; what they wrote in it goes. @param {string} [owner] none: nobody asks */
  #remember(owner) {
    if (!owner) return false;
    const before = sessionStorage.getItem(OWNER);
    const isOther = before !== null && before !== owner;
    if (isOther) sessionStorage.clear();
    sessionStorage.setItem(OWNER, owner);
    return isOther;
  }
}

function refusalWords(response, { error }) {
  const wait = Number(response.headers.get("Retry-After"));
  if (wait) return `Too many wrong keys came from here. Try again in ${wait} s.`;
  return typeof error === "string" ? error : `The server answered with ${response.status}.`;
}
