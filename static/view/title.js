/**
 * What this chat is called, in the sidebar and in the browser's tab: its first message.
 */
import { byId } from "./elements.js";

const LONGEST = 60; // characters

/** @param {string | undefined} firstMessage @param {boolean} running whether an answer is being written */
export function showTitle(firstMessage, running) {
  const line = firstMessage?.trim().split("\n", 1)[0] ?? "";
  const title = line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line;
  byId("chats").hidden = title === "";
  byId("chat-title").textContent = title;
  byId("chat-title").title = title;
  byId("chat-running").hidden = !running;
  document.title = title ? `${title} · Switchboard` : "Switchboard";
}
