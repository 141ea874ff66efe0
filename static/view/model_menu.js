/**
 * The button that names the model, and the list it opens: grouped by backend, with state and reason.
 *
 * Owns the listbox and its keys. Choosing is told to `onChoose`; what is selected is what the server says.
 *
 * @typedef {import("./model_names.js").Model} Model
 */
import { byId, element, icon } from "./elements.js";
import { displayName, dotState, facts, groupName, listFacts, stateWords } from "./model_names.js";
import { attachPanel } from "./popover.js";

const TYPING_MS = 600;

export class ModelMenu {
  #options = [];
  #active = 0;
  #busy = false;
  #typed = "";
  #typedAt = 0;

  /** @param {(name: string) => void} onChoose */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.button = byId("model-button");
    this.panel = byId("model-panel");
    this.list = byId("model-list");
    attachPanel(this.button, this.panel, { opened: () => this.#opened() });
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("click", ({ target }) => {
      this.#choose(this.#options.indexOf(target.closest("[role=option]")));
    });
    this.button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      this.panel.showPopover();
      this.#opened(); // the next key may come before the panel says that it is open
    });
  }

  /** While a model is being loaded no other can be chosen. */
  set busy(busy) {
    this.#busy = busy;
    this.button.disabled = busy;
    this.button.setAttribute("aria-busy", String(busy));
  }

  /** @param {Model[]} models @param {string} current the one that answers */
  show(models, current) {
    const selected = models.find((model) => model.name === current);
    byId("model-name").textContent = current ? displayName(current) : "No model";
    byId("model-facts").textContent = selected ? facts(selected) : "";
    byId("model-dot").dataset.state = selected ? dotState(selected) : "bad";
    this.button.title = selected ? [current, stateWords(selected)].filter(Boolean).join(": ") : current;
    this.button.disabled = this.#busy;
    const groups = Map.groupBy ? Map.groupBy(models, ({ backend }) => backend) : grouped(models);
    this.list.replaceChildren(...[...groups].map(([backend, members]) => group(backend, members, current)));
    if (models.length === 0) this.list.append(element("p", { class: "no-models" }, "No models are known yet."));
    this.#options = [...this.list.querySelectorAll("[role=option]")];
    this.#activate(Math.max(0, this.#options.findIndex((option) => option.ariaSelected === "true")));
  }

  #opened() {
    this.list.focus();
    this.#activate(Math.max(0, this.#options.findIndex((option) => option.ariaSelected === "true")));
  }

  #key(event) {
    const last = this.#options.length - 1;
    const moves = { ArrowDown: this.#active + 1, ArrowUp: this.#active - 1, Home: 0, End: last };
    if (event.key in moves) this.#activate(Math.min(Math.max(moves[event.key], 0), last));
    else if (event.key === "Enter" || event.key === " ") this.#choose(this.#active);
    else if (event.key === "Tab") return this.panel.hidePopover();
    else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey) this.#type(event.key);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #type(character) {
    const now = performance.now();
    this.#typed = (now - this.#typedAt < TYPING_MS ? this.#typed : "") + character.toLowerCase();
    this.#typedAt = now;
    const found = this.#options.findIndex((option) => option.dataset.label.toLowerCase().startsWith(this.#typed));
    if (found >= 0) this.#activate(found);
  }

  #activate(index) {
    this.#options[this.#active]?.classList.remove("active");
    this.#active = index;
    const option = this.#options[index];
    option?.classList.add("active");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.list.setAttribute("aria-activedescendant", option.id);
    else this.list.removeAttribute("aria-activedescendant");
  }

  #choose(index) {
    const option = this.#options[index];
    if (!option || option.ariaDisabled === "true") return;
    this.panel.hidePopover();
    this.button.focus();
    if (option.ariaSelected !== "true") this.onChoose(option.dataset.model);
  }
}

function grouped(models) {
  const groups = new Map();
  for (const model of models) groups.set(model.backend, [...(groups.get(model.backend) ?? []), model]);
  return groups;
}

function group(backend, models, current) {
  const id = `models-of-${backend.replace(/\W/g, "-")}`;
  const heading = element("div", { class: "model-group-name", id, role: "presentation" }, groupName(backend));
  return element(
    "div",
    { role: "group", "aria-labelledby": id },
    heading,
    ...models.map((model, index) => option(model, `${id}-${index}`, model.name === current)),
  );
}

/** @param {Model} model */
function option(model, id, selected) {
  const name = displayName(model.name);
  const usable = model.state !== "unreachable" && model.state !== "failed";
  const state = stateWords(model);
  const details = element("span", { class: "model-details" }, [listFacts(model), state].filter(Boolean).join(" · "));
  return element(
    "div",
    {
      id,
      role: "option",
      class: "model-option",
      "aria-selected": String(selected),
      "aria-disabled": String(!usable),
      "data-model": model.name,
      "data-label": name,
      title: model.name,
    },
    element("span", { class: "dot", "data-state": dotState(model) }),
    element("span", { class: "model-words" }, element("span", { class: "model-option-name" }, name), details),
    selected ? icon("check") : "",
  );
}
