/**
 * The sliders that say how answers are made.
 *
 * @typedef {import("../settings.js").Settings} Settings
 */
import { byId } from "./elements.js";
import { count } from "./figures.js";
import { attachPanel } from "./popover.js";

const LONGEST_WITHOUT_CONTEXT = 4_096; // tokens, when the model does not say how long its context is

export class SettingsPanel {
  /** @param {Settings} settings */
  constructor(settings) {
    this.settings = settings;
    this.maxTokens = byId("max-tokens");
    this.temperature = byId("temperature");
    attachPanel(byId("settings-button"), byId("settings-panel"), { above: true });
    this.maxTokens.addEventListener("input", () => settings.set("max_tokens", this.maxTokens.valueAsNumber));
    this.temperature.addEventListener("input", () => settings.set("temperature", this.temperature.valueAsNumber));
    byId("settings-reset").addEventListener("click", () => settings.reset());
    settings.addEventListener("change", () => this.#show());
    this.context = LONGEST_WITHOUT_CONTEXT;
    this.#show();
  }

  /** @param {number | undefined} tokens the context of the model that answers */
  setContext(tokens) {
    this.context = tokens ?? LONGEST_WITHOUT_CONTEXT;
    this.#show();
  }

  #show() {
    const { settings } = this;
    this.maxTokens.max = String(this.context);
    const tokens = Math.min(settings.get("max_tokens"), this.context);
    const temperature = settings.get("temperature");
    this.maxTokens.value = String(tokens);
    this.temperature.value = String(temperature);
    fill(this.maxTokens);
    fill(this.temperature);
    byId("max-tokens-value").value = `${count(tokens)} tokens`;
    byId("temperature-value").value = temperature.toFixed(2);
    byId("settings-summary").textContent = `${count(tokens)} tokens · T ${Number(temperature.toFixed(2))}`;
    byId("settings-reset").disabled = Object.keys(settings.chosen).length === 0;
  }
}

/** Tell the style sheet how far the slider is. */
function fill(slider) {
  const share = (slider.valueAsNumber - slider.min) / (slider.max - slider.min);
  slider.style.setProperty("--filled", `${share * 100}%`);
}
