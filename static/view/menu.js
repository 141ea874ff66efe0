/**
 * One menu for many buttons, such as the lines of a list: filled when it opens, placed beside its button.
 *
 * Owns the panel, its items and its keys. An item is a command or a link to a file.
 *
 * @typedef {object} Item
 * @property {string} label
 * @property {string} icon
 * @property {string} [keys] what does the same
 * @property {string} [href] a file to fetch
 * @property {() => void} [run]
 * @property {boolean} [isGrave]
 */
import { element, icon } from "./elements.js";
import { placePanel } from "./popover.js";

export class Menu {
  /** @type {HTMLButtonElement | null} whose menu it is at the moment */ #button = null;

  /** @param {HTMLElement} panel has the `popover` attribute and the role `menu` */
  constructor(panel) {
    this.panel = panel;
    panel.addEventListener("toggle", ({ newState }) => this.#toggled(newState === "open"));
    panel.addEventListener("keydown", (event) => this.#key(event));
    panel.addEventListener("click", () => panel.hidePopover(), true); // first, so that what is done can take the focus
  }

  /** Have `button` open this menu. @param {() => {name: string, items: Item[]}} content asked whenever it opens */
  attach(button, content) {
    button.popoverTargetElement = this.panel;
    button.setAttribute("aria-controls", this.panel.id);
    button.addEventListener("click", () => this.#fill(button, content())); // what a click opens comes after its listeners
  }

  #fill(button, { name, items }) {
    this.#button?.setAttribute("aria-expanded", "false");
    this.#button = button;
    this.panel.setAttribute("aria-label", name);
    this.panel.replaceChildren(...items.map(itemElement));
  }

  #toggled(isOpen) {
    this.#button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    placePanel(this.panel, this.#button.getBoundingClientRect(), { alignEnd: true });
    this.panel.firstElementChild.focus();
  }

  #key(event) {
    const items = [...this.panel.children];
    const at = items.indexOf(document.activeElement);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 };
    if (event.key in moves) items[moves[event.key] % items.length].focus();
    else if (event.key === "Tab") this.panel.hidePopover();
    else if (event.key === " ") document.activeElement.click();
    else return;
    event.preventDefault();
  }
}

/** @param {Item} item */
function itemElement({ label, icon: iconName, keys, href, run, isGrave = false }) {
  const shared = { role: "menuitem", tabindex: "-1", class: `menu-item${isGrave ? " grave" : ""}` };
  const parts = [icon(iconName), element("span", {}, label), keys ? element("kbd", { "aria-hidden": "true" }, keys) : ""];
  if (href) return element("a", { ...shared, href, download: "" }, ...parts);
  return element("button", { ...shared, type: "button", click: run, ...(keys && { "aria-keyshortcuts": keys }) }, ...parts);
}
