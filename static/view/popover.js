/**
 * Panels that open from a button: placed beside it, closed by Escape or a press elsewhere.
 */
const GAP_PX = 8;

/**
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} panel has the `popover` attribute
 * @param {{above?: boolean, alignEnd?: boolean, opened?: () => void}} [options]
 */
export function attachPanel(button, panel, { above = false, alignEnd = false, opened } = {}) {
  button.popoverTargetElement = panel;
  const place = () => placePanel(panel, button.getBoundingClientRect(), { above, alignEnd });
  panel.addEventListener("toggle", ({ newState }) => {
    const open = newState === "open";
    button.setAttribute("aria-expanded", String(open));
    if (!open) return removeEventListener("resize", place);
    addEventListener("resize", place);
    place();
    opened?.();
  });
}

/**
 * Place an open panel below or above `anchor`, within the window: above, too, where there is no room below.
 * @param {HTMLElement} panel
 * @param {DOMRect} anchor
 */
export function placePanel(panel, anchor, { above = false, alignEnd = false } = {}) {
  const { offsetWidth: width, offsetHeight: height } = panel;
  const left = alignEnd ? anchor.right - width : anchor.left;
  const isAbove = above || anchor.bottom + GAP_PX + height > innerHeight;
  panel.style.left = `${Math.max(GAP_PX, Math.min(left, innerWidth - width - GAP_PX))}px`;
  panel.style.top = `${isAbove ? Math.max(GAP_PX, anchor.top - height - GAP_PX) : anchor.bottom + GAP_PX}px`;
}

/** Whether Escape belongs to something that lies over the page. */
export function isSomethingOpen() {
  return document.querySelector(":popover-open, dialog[open]") !== null;
}
