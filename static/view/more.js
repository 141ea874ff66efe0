/**
 * The header's "More": appearance, and the link to this chat. Files and keys are attached by those who own them.
 */
import { announce } from "./announcer.js";
import { attachThemeSwitch } from "./appearance.js";
import { copy } from "./copy.js";
import { byId } from "./elements.js";
import { attachPanel } from "./popover.js";

export function attachMore() {
  const panel = byId("more-panel");
  attachPanel(byId("more-button"), panel, { alignEnd: true });
  attachThemeSwitch();
  panel.addEventListener("click", ({ target }) => target.closest(".menu-item") && panel.hidePopover(), true);
  byId("copy-link").addEventListener("click", async () => {
    await copy(location.href);
    announce("The link to this chat is copied.");
  });
}
