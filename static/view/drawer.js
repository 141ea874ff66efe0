/**
 * The sidebar on a narrow screen: a drawer over the page, closed by Escape, the scrim or its button.
 */
import { byId } from "./elements.js";

const narrow = matchMedia("(max-width: 719.98px)");

/** Returns the function that closes the drawer. */
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
  opener.addEventListener("click", () => {
    set(true);
    byId("close-sidebar").focus();
  });
  byId("close-sidebar").addEventListener("click", close);
  byId("scrim").addEventListener("click", close);
  sidebar.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !sidebar.classList.contains("open")) return;
    event.stopPropagation();
    close();
  });
  narrow.addEventListener("change", () => set(false));
  set(false);
  return close;
}
