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
  const place = () => {
    const anchor = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = panel;
    const left = alignEnd ? anchor.right - width : anchor.left;
    panel.style.left = `${Math.max(GAP_PX, Math.min(left, innerWidth - width - GAP_PX))}px`;
    panel.style.top = `${above ? Math.max(GAP_PX, anchor.top - height - GAP_PX) : anchor.bottom + GAP_PX}px`;
  };
  panel.addEventListener("toggle", ({ newState }) => {
    const open = newState === "open";
    button.setAttribute("aria-expanded", String(open));
    if (!open) return removeEventListener("resize", place);
    addEventListener("resize", place);
    place();
    opened?.();
  });
}

/** Whether Escape belongs to something that lies over the page. */
export function isSomethingOpen() {
  return document.querySelector(":popover-open, dialog[open]") !== null;
}
