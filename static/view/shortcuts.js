/**
 * The keys that work everywhere on the page, and the list of them.
 */
import { byId } from "./elements.js";
import { isSomethingOpen } from "./popover.js";

/**
 * @param {Record<"newChat" | "search" | "stop" | "undo" | "write", () => unknown>} actions one that gives `false` had
 *   nothing to do, and leaves the key to the browser
 */
export function attachShortcuts({ newChat, search, stop, undo, write }) {
  const dialog = byId("keys-dialog");
  const showKeys = () => dialog.showModal();
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
    if (control && !event.shiftKey && event.code === "KeyK") return search;
    if (isTyping(event.target) && event.target.value) return null;
    if (control && !event.shiftKey && event.code === "KeyZ") return undo; // an empty box has nothing of its own to undo
    if (control || event.altKey || isTyping(event.target)) return null;
    return { "?": showKeys, "/": write }[event.key] ?? null;
  }
}

function isTyping(target) {
  return target.matches("textarea, select, input:not([type=radio], [type=range])");
}
