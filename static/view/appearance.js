/**
 * The switch between the system's colours, light and dark. `static/theme.js` applies the choice before the first paint.
 */
const KEY = "switchboard.theme";

export function attachThemeSwitch() {
  for (const input of document.querySelectorAll("input[name=theme]")) {
    input.checked = input.value === document.documentElement.dataset.theme;
    input.addEventListener("change", () => {
      document.documentElement.dataset.theme = input.value;
      localStorage.setItem(KEY, input.value);
    });
  }
}
