/**
 * Where a person writes: the text box, the files that go along, the draft of both, Send and Stop.
 *
 * Owns the form's nodes and the remembered draft. Knows nothing of the connection but whether there is one.
 */
import { bytesOf, partsOf, withFiles } from "../files.js";
import { byId } from "./elements.js";
import { FileChips } from "./file_chips.js";
import { count } from "./figures.js";
import { isOfAnInputMethod } from "./keys.js";

const DRAFTS = "switchboard.draft";
const FRAME_BYTES = 1_024; // of a message's frame beside the message
const NEARLY_FULL = 0.9; // of what a message may hold, from which on the length is shown

export class Composer {
  /** What the server takes in one message. */ limits = { chars: 32_000, frameBytes: 65_536 };
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
    this.chips = new FileChips(() => this.#changed(), () => input.focus());
    input.before(this.chips.element);
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
    this.message = sessionStorage.getItem(this.#key) ?? "";
  }

  /** The conversation on show has another name. @param {string | null} id */
  name(id) {
    if (this.#key === keyOf(id)) return;
    sessionStorage.removeItem(this.#key);
    this.#key = keyOf(id);
    this.#changed();
  }

  /** All that would be sent: the words, and the files after them. */
  get message() {
    return withFiles(this.input.value, this.files);
  }

  set message(message) {
    const { words, files } = partsOf(message);
    this.input.value = words;
    this.files = files;
  }

  get words() {
    return this.input.value;
  }

  get files() {
    return this.chips.files;
  }

  set files(files) {
    this.chips.files = files;
    this.#changed();
  }

  get isEmpty() {
    return !this.input.value && !this.files.length;
  }

  /** Why this message cannot be sent; empty when it can. */
  get problem() {
    const { chars, frameBytes } = this.limits;
    const length = [...this.message].length;
    if (length > chars) return `Your message has ${count(length)} characters; at most ${count(chars)} can be sent at once.`;
    if (bytesOf(JSON.stringify(this.message)) + FRAME_BYTES <= frameBytes) return "";
    return "Your message takes more bytes than can be sent at once. Shorten it, or leave a file out.";
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
    if (this.isEmpty) sessionStorage.removeItem(this.#key);
    else sessionStorage.setItem(this.#key, this.files.length ? this.message : this.input.value);
    if (!CSS.supports("field-sizing", "content")) {
      this.input.style.height = "auto";
      this.input.style.height = `${this.input.scrollHeight}px`;
    }
    this.#show();
  }

  /** Stop takes Send's place while an answer comes, unless there is something to send. */
  #show() {
    const written = this.input.value.trim() !== "" || this.files.length > 0;
    this.#showLength();
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

  #showLength() {
    const hint = byId("length-hint");
    const { length } = this.message;
    hint.hidden = length < this.limits.chars * NEARLY_FULL;
    hint.textContent = `${count(length)} of ${count(this.limits.chars)}`;
    hint.classList.toggle("over", this.problem !== "");
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
