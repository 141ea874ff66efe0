/**
 * Quiet buttons under a message, and the question that one of them asks before it deletes.
 */
import { announce } from "./announcer.js";
import { element, icon } from "./elements.js";

/**
 * @param {string} iconName
 * @param {string} name for screen readers and as a tooltip
 * @param {() => void} press
 */
export function iconButton(iconName, name, press) {
  const button = element("button", { type: "button", class: "quiet-button", title: name, "aria-label": name });
  button.dataset.deed = iconName; // by which another message's button is found when it takes this one's place
  button.append(icon(iconName));
  button.addEventListener("click", () => isEnabled(button) && press());
  return button;
}

/** A button with its name written beside the icon. */
export function namedButton(iconName, name, press, kind = "") {
  const button = element("button", { type: "button", class: `named-button ${kind}`.trim() }, icon(iconName), name);
  button.addEventListener("click", press);
  return button;
}

/** Let a button that has the focus keep it, and yet do nothing. */
export function enable(button, enabled) {
  button.setAttribute("aria-disabled", String(!enabled));
}

function isEnabled(button) {
  return button.getAttribute("aria-disabled") !== "true";
}

/** A row of buttons that may give way to a question. They are made when somebody may want them. */
export class Actions {
  #make;
  /** @type {Node[]} */ #buttons = [];

  /** @param {() => Node[]} make */
  constructor(make) {
    this.#make = make;
    this.element = element("span", { class: "actions" });
  }

  /** Make the buttons, unless they are there. */
  build() {
    if (this.#buttons.length) return;
    this.#buttons = this.#make();
    this.element.append(...this.#buttons);
  }

  /** Ask whether to delete, in the place of the buttons. @param {number} count of messages that would go */
  confirmDelete(count, deed) {
    const opener = document.activeElement;
    const words = count === 1 ? "Delete this message?" : `Delete ${count} messages?`;
    const close = () => {
      this.element.replaceChildren(...this.#buttons);
      opener?.focus({ preventScroll: true });
    };
    const confirm = () => {
      close();
      deed();
    };
    const yes = element("button", { type: "button", class: "named-button danger", click: confirm }, "Delete");
    const no = element("button", { type: "button", class: "named-button", click: close }, "Keep");
    const question = element("span", { class: "question", role: "group", "aria-label": words }, words, yes, no);
    question.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      close();
    });
    this.element.replaceChildren(question);
    no.focus({ preventScroll: true });
    announce(words);
  }
}
