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
const RESTARTING = 1012;
let isAway = false;
let isRestarting = false; // from the server's word for it until it is back

/**
 * @param {import("../socket.js").ConversationSocket["state"]} state
 * @param {boolean} wasConnected whether there was a connection before
 * @param {number | null} closeCode why the last connection was closed
 */
export function showConnection(state, wasConnected, closeCode) {
  const [word, light] = LIGHTS[state];
  byId("connection").dataset.state = state;
  byId("connection-dot").dataset.state = light;
  byId("connection-text").textContent = word;
  isRestarting = state !== "connected" && (isRestarting || closeCode === RESTARTING);
  const words = describe(state, wasConnected);
  byId("offline-text").textContent = words;
  if (state === "connecting") return; // whether that helps is seen in a moment
  if (isAway !== (light === "bad")) announceChange(light, words);
  isAway = light === "bad";
  byId("offline").hidden = !isAway;
}

function describe(state, wasConnected) {
  if (state === "stopped") return "The server closed this connection.";
  if (isRestarting) return "The server is restarting. Trying again…";
  return `${wasConnected ? "The connection to the server is lost." : "The server cannot be reached."} Trying again…`;
}

function announceChange(light, words) {
  announce(light === "bad" ? `Disconnected. ${words}` : "Connected again.");
}
