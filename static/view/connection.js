/**
 * The connection light, and the line above the text box while there is no connection.
 */
import { announce } from "./announcer.js";
import { byId } from "./elements.js";

/** By state: the word, and the colour of the light. */
const LIGHTS = {
  connected: ["Connected", "good"],
  connecting: ["Connecting", "waiting"],
  disconnected: ["Disconnected", "bad"],
  stopped: ["Disconnected", "bad"],
};
let isAway = false;

/**
 * @param {import("../socket.js").ConversationSocket["state"]} state
 * @param {boolean} wasConnected whether there was a connection before
 */
export function showConnection(state, wasConnected) {
  const [word, light] = LIGHTS[state];
  byId("connection").dataset.state = state;
  byId("connection-dot").dataset.state = light;
  byId("connection-text").textContent = word;
  const lost = wasConnected ? "The connection to the server is lost." : "The server cannot be reached.";
  const words = state === "stopped" ? "The server closed this connection." : `${lost} Trying again…`;
  byId("offline-text").textContent = words;
  if (state === "connecting") return; // whether that helps is seen in a moment
  if (isAway !== (light === "bad")) announceChange(light, words);
  isAway = light === "bad";
  byId("offline").hidden = !isAway;
}

function announceChange(light, words) {
  announce(light === "bad" ? `Disconnected. ${words}` : "Connected again.");
}
