/**
 * Copying to the clipboard, and the button that does it.
 */
import { announce } from "./announcer.js";
import { element, icon } from "./elements.js";

const SHOWN_MS = 1_600;

/** Put `text` on the clipboard; also where the browser has no clipboard interface, as over plain http. */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", { class: "visually-hidden", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("The browser refused to copy.");
}

/**
 * @param {() => string} text asked when pressed
 * @param {string} name for screen readers and as a tooltip
 * @param {string} [label] shown beside the icon
 */
export function copyButton(text, name, label = "") {
  const caption = element("span", {}, label);
  const button = element("button", { type: "button", class: "quiet-button", "aria-label": name, title: name });
  const show = (iconName, words) => {
    caption.textContent = words;
    button.replaceChildren(icon(iconName), ...(label ? [caption] : []));
  };
  show("copy", label);
  button.addEventListener("click", async () => {
    try {
      await copy(text());
      show("check", "Copied");
      announce("Copied.");
    } catch {
      show("alert", "Not copied");
      announce("The browser refused to copy.");
    }
    setTimeout(() => show("copy", label), SHOWN_MS);
  });
  return button;
}
