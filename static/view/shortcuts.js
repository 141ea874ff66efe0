/**
 * The keys that work everywhere on the page, and the list of them.
 */
import { byId } from "./elements.js";
import { isSomethingOpen } from "./popover.js";

/** @param {{newChat: () => void, stop: () => boolean, write: () => void}} actions `stop`: whether something ran */
export function attachShortcuts({ newChat, stop, write }) {
  const dialog = byId("keys-dialog");
  const showKeys = () => {
    byId("more-panel").hidePopover();
    dialog.showModal();
  };
  byId("show-keys").addEventListener("click", showKeys);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const action = actionFor(event);
    if (!action || isSomethingOpen()) return;
    if (action() !== false) event.preventDefault();
  });

  function actionFor(event) {
    const control = event.ctrlKey || event.metaKey;
    if (event.key === "Escape") return stop;
    if (control && event.shiftKey && event.code === "KeyO") return newChat;
    if (control || event.altKey || isTyping(event.target)) return null;
    return { "?": showKeys, "/": write }[event.key] ?? null;
  }
}

function isTyping(target) {
  return target.matches("textarea, select, input:not([type=radio], [type=range])");
}
