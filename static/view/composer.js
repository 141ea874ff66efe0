/**
 * Where a person writes: the text box, its draft, Send and Stop.
 *
 * Owns the form's nodes and the remembered draft. Knows nothing of the connection but whether there is one.
 */
import { isOfAnInputMethod } from "./keys.js";

const DRAFTS = "switchboard.draft";

export class Composer {
  #connected = false;
  #running = false;
  #stopsAll = false;
  #key = DRAFTS; // under which the draft is remembered

  /**
   * @param {{form: HTMLFormElement, input: HTMLTextAreaElement} & Record<"send" | "stop", HTMLButtonElement>} nodes
   * @param {{onSend: () => void, onStop: () => void, onEditLast: () => boolean}} actions
   */
  constructor({ form, input, send, stop }, { onSend, onStop, onEditLast }) {
    Object.assign(this, { input, send, stop });
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
      if (sends(event)) onSend();
      else if (!editsLast(event) || !onEditLast()) return;
      event.preventDefault();
    });
    form.addEventListener("pointerdown", (event) => {
      if (event.target === form) requestAnimationFrame(() => input.focus());
    });
  }

  /** Another conversation is on show: what was begun in it is there again. @param {string | null} id null: a new one */
  show(id) {
    this.#key = keyOf(id);
    this.text = sessionStorage.getItem(this.#key) ?? "";
  }

  /** The conversation on show has another name. @param {string | null} id */
  name(id) {
    if (this.#key === keyOf(id)) return;
    sessionStorage.removeItem(this.#key);
    this.#key = keyOf(id);
    this.#changed();
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

  /** Whether Stop means the waiting messages too. */
  set stopsAll(all) {
    this.#stopsAll = all;
    this.#show();
  }

  #changed() {
    if (this.input.value) sessionStorage.setItem(this.#key, this.input.value);
    else sessionStorage.removeItem(this.#key);
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
    this.stop.classList.toggle("all", this.#stopsAll);
    this.stop.setAttribute("aria-label", this.#stopsAll ? "Stop all" : "Stop the answer");
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
  if (event.key !== "Enter" || isOfAnInputMethod(event)) return false;
  if (event.ctrlKey || event.metaKey) return true;
  return !event.shiftKey && !event.altKey && !matchMedia("(pointer: coarse)").matches;
}

/** Whether this key press asks for the last message to be edited: up, where there is nothing to go up in. */
function editsLast(event) {
  const { key, altKey, ctrlKey, metaKey, shiftKey, target } = event;
  return key === "ArrowUp" && !target.value && !(altKey || ctrlKey || metaKey || shiftKey || event.isComposing);
}

function keyOf(conversation) {
  return conversation ? `${DRAFTS}.${conversation}` : DRAFTS;
}
