/**
 * The connection light, and the line above the text box while there is no connection.
 */
import { announce } from "./announcer.js";
import { byId } from "./elements.js";

const WORDS = { connected: "Connected", connecting: "Connecting", disconnected: "Disconnected", stopped: "Disconnected" };
const DOTS = { connected: "good", connecting: "waiting", disconnected: "bad", stopped: "bad" };
let last = "";

/**
 * @param {import("../socket.js").ConversationSocket["state"]} state
 * @param {boolean} wasConnected whether there was a connection before
 */
export function showConnection(state, wasConnected) {
  byId("connection").dataset.state = state;
  byId("connection-dot").dataset.state = DOTS[state];
  byId("connection-text").textContent = WORDS[state];
  const offline = byId("offline");
  offline.hidden = state === "connected" || (state === "connecting" && offline.hidden);
  const lost = wasConnected ? "The connection to the server is lost." : "The server cannot be reached.";
  byId("offline-text").textContent = state === "stopped" ? "The server closed this connection." : `${lost} Trying again…`;
  if (state !== last && state === "disconnected" && last !== "connecting") announce("Disconnected. Trying again.");
  if (state === "connected" && wasConnected) announce("Connected again.");
  last = state;
}
