/**
 * The log-in: one field over the whole page, which stays as it was beneath; and "Log out" in the menu.
 */
import { byId } from "./elements.js";

/** @param {import("../account.js").Account} account */
export function attachLogin(account) {
  const dialog = byId("login");
  const input = byId("login-key");
  const button = byId("login-button");
  const problem = byId("login-problem");

  account.addEventListener("lost", () => {
    if (!dialog.open) dialog.showModal();
  });
  account.addEventListener("found", () => {
    dialog.close();
    byId("log-out").hidden = !account.asks;
    byId("log-out-name").textContent = account.name ?? "";
  });
  dialog.addEventListener("cancel", (event) => event.preventDefault()); // there is nothing behind it to go on with
  document.addEventListener("visibilitychange", () => {
    if (dialog.open && !document.hidden) account.look(); // another tab may have logged in meanwhile
  });
  input.addEventListener("input", () => say(""));
  byId("login-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    say("");
    button.disabled = true;
    try {
      await account.logIn(input.value);
      input.value = "";
    } catch (error) {
      say(error.message);
      input.select();
    } finally {
      button.disabled = false;
    }
  });

  function say(words) {
    problem.textContent = words;
    input.setAttribute("aria-invalid", String(words !== ""));
  }
}
