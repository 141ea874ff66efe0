/**
 * Where a person writes: the text box, its draft, Send and Stop.
 *
 * Owns the form's nodes and the remembered draft. Knows nothing of the connection but whether there is one.
 */
const DRAFT_KEY = "switchboard.draft";
const ENTER_OF_AN_IME = 229;

export class Composer {
  #connected = false;
  #running = false;

  /**
   * @param {{form: HTMLFormElement, input: HTMLTextAreaElement} & Record<"send" | "stop", HTMLButtonElement>} nodes
   * @param {{onSend: () => void, onStop: () => void}} actions
   */
  constructor({ form, input, send, stop }, { onSend, onStop }) {
    Object.assign(this, { input, send, stop });
    this.text = localStorage.getItem(DRAFT_KEY) ?? "";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      onSend();
    });
    stop.addEventListener("click", () => {
      onStop();
      input.focus();
    });
    input.addEventListener("input", () => this.#changed());
    input.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      onSend();
    });
    form.addEventListener("pointerdown", (event) => {
      if (event.target === form) requestAnimationFrame(() => input.focus());
    });
  }

  get text() {
    return this.input.value;
  }

  set text(value) {
    this.input.value = value;
    this.#changed();
  }

  set connected(connected) {
    this.#connected = connected;
    this.#show();
  }

  set running(running) {
    this.#running = running;
    this.#show();
  }

  #changed() {
    if (this.input.value) localStorage.setItem(DRAFT_KEY, this.input.value);
    else localStorage.removeItem(DRAFT_KEY);
    if (!CSS.supports("field-sizing", "content")) {
      this.input.style.height = "auto";
      this.input.style.height = `${this.input.scrollHeight}px`;
    }
    this.#show();
  }

  /** Stop takes Send's place while an answer comes, unless there is something to send. */
  #show() {
    const written = this.input.value.trim() !== "";
    this.stop.hidden = !this.#running;
    this.stop.disabled = !this.#connected;
    this.send.hidden = this.#running && !written;
    this.send.disabled = !this.#connected;
    this.send.classList.toggle("idle", !written);
    const name = this.#running ? "Send, to be answered next" : "Send";
    this.send.setAttribute("aria-label", name);
    this.send.title = this.#connected ? name : "Not connected";
  }
}

/** Whether this key press sends: Enter alone, not while an input method composes, not on a touch keyboard. */
function sends(event) {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === ENTER_OF_AN_IME) return false;
  if (event.ctrlKey || event.metaKey) return true;
  return !event.shiftKey && !event.altKey && !matchMedia("(pointer: coarse)").matches;
}
