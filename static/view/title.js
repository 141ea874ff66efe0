/**
 * What this chat is called: in the browser's tab, and as the heading of the page for those who go by headings.
 */
import { byId } from "./elements.js";

const LONGEST = 60; // characters

/** @param {string | undefined} title as the list has it @param {string | undefined} firstMessage until the list has it */
export function showTitle(title, firstMessage) {
  const line = title ?? firstMessage?.trim().split("\n", 1)[0] ?? "";
  const short = line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line;
  document.title = short ? `${short} · Switchboard` : "Switchboard";
  byId("chat-heading").textContent = short;
  byId("chat-heading").hidden = short === ""; // an empty chat has another
}
