/**
 * The sidebar on a narrow screen: a drawer over the page, closed by Escape, the scrim or its button.
 */
import { byId } from "./elements.js";
import { isSomethingOpen } from "./popover.js";

const narrow = matchMedia("(max-width: 719.98px)");

/** Returns the functions that open and close the drawer; neither does anything on a wide screen. */
export function attachDrawer() {
  const sidebar = byId("sidebar");
  const opener = byId("open-sidebar");
  const set = (open) => {
    sidebar.classList.toggle("open", open);
    sidebar.inert = narrow.matches && !open;
    byId("main").inert = narrow.matches && open;
    byId("scrim").hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
  };
  const close = () => {
    const wasOpen = sidebar.classList.contains("open");
    set(false);
    if (wasOpen) opener.focus();
  };
  const open = () => {
    if (!narrow.matches) return;
    set(true);
    byId("close-sidebar").focus();
  };
  opener.addEventListener("click", open);
  byId("close-sidebar").addEventListener("click", close);
  byId("scrim").addEventListener("click", close);
  sidebar.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !sidebar.classList.contains("open") || isSomethingOpen()) return;
    event.stopPropagation();
    close();
  });
  narrow.addEventListener("change", () => set(false));
  set(false);
  return { open, close };
}
