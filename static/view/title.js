/**
 * What this chat is called in the browser's tab.
 */
const LONGEST = 60; // characters

/** @param {string | undefined} title as the list has it @param {string | undefined} firstMessage until the list has it */
export function showTitle(title, firstMessage) {
  const line = title ?? firstMessage?.trim().split("\n", 1)[0] ?? "";
  const short = line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line;
  document.title = short ? `${short} · Switchboard` : "Switchboard";
}
