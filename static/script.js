/**
 * The page's composition root: makes the parts, joins them, and says what happens when a frame comes.
 *
 * The state is the store's; what is drawn is the views'. This file holds what passes between them.
 */
import { schedule } from "./frames.js";
import { Models } from "./models.js";
import { Settings } from "./settings.js";
import { ConversationSocket } from "./socket.js";
import { Store } from "./store.js";
import { announce } from "./view/announcer.js";
import { attachThemeSwitch } from "./view/appearance.js";
import { Composer } from "./view/composer.js";
import { showConnection } from "./view/connection.js";
import { copy } from "./view/copy.js";
import { attachDrawer } from "./view/drawer.js";
import { byId } from "./view/elements.js";
import { attachStarters, showEmptyState } from "./view/empty_state.js";
import { showEngine } from "./view/engine_card.js";
import { Follower } from "./view/follow.js";
import { LoadingMessages } from "./view/loading.js";
import { MessageList } from "./view/messages.js";
import { ModelMenu } from "./view/model_menu.js";
import { displayName } from "./view/model_names.js";
import { attachPanel } from "./view/popover.js";
import { explain, NOT_CONNECTED } from "./view/problems.js";
import { SettingsPanel } from "./view/settings_panel.js";
import { attachShortcuts } from "./view/shortcuts.js";
import { showTitle } from "./view/title.js";

export const messageInput = byId("message-input");
export const sendButton = byId("send-button");
export const messagesContainer = byId("messages");
/** @type {WebSocket | null} the open connection, if there is one */
export let ws = null;

const base = new URL(".", document.baseURI);
const socketUrl = new URL("ws", base);
socketUrl.protocol = base.protocol === "https:" ? "wss:" : "ws:";

export const store = new Store();
const models = new Models(base);
const settings = new Settings();
const socket = new ConversationSocket(socketUrl.href, () => store);
const list = new MessageList(messagesContainer, store, (id) => socket.send({ type: "queue_remove", id }));
const loading = new LoadingMessages(addMessage);
const menu = new ModelMenu(chooseModel);
const settingsPanel = new SettingsPanel(settings);
const follower = new Follower(byId("scroller"), messagesContainer, byId("jump-to-latest"));
const composer = new Composer(
  { form: byId("chat-form"), input: messageInput, send: sendButton, stop: byId("stop-button") },
  { onSend: sendMessage, onStop: stop },
);
const closeDrawer = attachDrawer();

const RESTARTED = "The server was restarted. This conversation goes on.";
const FORGOTTEN = "The server no longer has that conversation. This is a new one.";
const FORGOTTEN_HERE =
  "The server was restarted and no longer has this conversation. You can still read it; what you write now begins a new one.";

let progress = null; // of the running answer
let lastSpeed; // tokens per second of the last answer
let wasConnected = false;

/** Open the connection, or open it anew. */
export function connect() {
  socket.connect();
}

/** Fetch the models and fill the list; without a server the list stays as it is. */
export async function loadAvailableModels() {
  try {
    await models.refresh();
  } catch {
    // The connection light already says that the server is away; the list comes with the next connection.
  }
}

/** Say what stands in the text box. */
export function sendMessage() {
  const message = composer.text.trim();
  if (!message) return;
  if (socket.state !== "connected") return complain(NOT_CONNECTED);
  const params = settings.params(models.selected?.context_length ?? Infinity);
  const cmd_id = socket.send({ type: "user", message, ...(params && { params }) });
  list.addPending(cmd_id, message);
  composer.text = "";
  refresh();
  scrollToBottom();
}

/** What each frame does that is no event of the log. */
const TRANSIENTS = {
  system: (frame) => (frame.session ? greet(frame) : addMessage(frame.message, "system")),
  error: refuse,
  progress: (frame) => {
    if (!store.messages.get(frame.id)?.running) return; // a prompt that waits for the running answer is shown as queued
    progress = frame;
    list.showProgress(frame);
  },
  loading: (frame) => loading.show(frame),
  models: (frame) => models.take(frame),
  engine: (frame) => models.measure(frame),
};

/** Take one frame from the server. */
export function handleMessage(data) {
  const isLogged = data.type === "snapshot" || (data.seq > 0 && data.type !== "ack");
  if (!isLogged) TRANSIENTS[data.type]?.(data);
  else if (store.apply(data) === "gap") connect(); // something went missing: come back and ask for it
  keepAddress();
  refresh();
}

export function showTypingIndicator(message) {
  list.showTypingIndicator(message);
}

export function removeTypingIndicator() {
  list.removeTypingIndicator();
}

/** Put a message of the page's own at the end of the conversation. */
export function addMessage(message, type) {
  return list.addMessage(message, type);
}

export function scrollToBottom() {
  follower.scrollToBottom();
}

/** The server's first word on a connection: which conversation this is. */
function greet({ session, epoch, model, message }) {
  const asked = store.session;
  if (asked && asked !== session) loseConversation();
  else if (asked && store.seq > 0 && epoch !== store.epoch) addMessage(RESTARTED, "system");
  store.greet(session, epoch);
  if (model) models.select(model);
  if (!wasConnected) list.greet(`${message.replace(/\.*$/, ".")} Model: ${displayName(model || "none")}`);
  wasConnected = true;
  loadAvailableModels();
}

/** The server does not know the conversation any more; what the page has of it stays to be read. */
function loseConversation() {
  const words = list.isEmpty ? FORGOTTEN : FORGOTTEN_HERE;
  list.keepAsIs(words);
  store.clear();
  announce(words);
  socket.drop((frame) => frame.type !== "user");
  history.replaceState(null, "", location.pathname + location.search);
}

/** The server refused something; a message that it refused goes back into the text box. */
function refuse(problem) {
  if (problem.code === "bad_resume" || problem.code === "unknown_session") return; // a snapshot or a greeting follows
  const message = list.removePending(problem.cmd_id);
  if (message && !composer.text) composer.text = message;
  complain(problem);
}

function complain(problem) {
  list.addProblem(problem);
  announce(explain(problem).join(" "));
  scrollToBottom();
}

function stop() {
  const answer = store.running.at(-1);
  if (!answer) return false;
  socket.send({ type: "stop", id: answer.id });
  return true;
}

async function chooseModel(name) {
  menu.busy = true;
  try {
    await models.load(name);
    announce(`${displayName(name)} answers from now on.`);
  } catch (error) {
    complain({ code: "model_invalid", message: `${displayName(name)} could not be loaded. ${error.message}` });
  } finally {
    menu.busy = false;
    loading.end(name);
  }
  await loadAvailableModels();
}

function newChat() {
  closeDrawer();
  if (!list.isEmpty) {
    history.pushState(null, "", location.pathname + location.search);
    openConversation(null);
  }
  messageInput.focus();
}

/** @param {string | null} session none: a new one */
function openConversation(session) {
  socket.drop(() => true);
  list.clear();
  loading.clear();
  store.clear();
  store.session = session;
  wasConnected = false;
  connect();
  refresh();
}

function sessionInAddress() {
  return location.hash.slice(1) || null;
}

/** Bring everything that is no message up to date, once before the next frame. */
function refresh() {
  schedule(showSurroundings);
}

function showSurroundings() {
  const running = store.running.length;
  const begun = store.running.some(({ message, reasoning }) => message || reasoning);
  if (!running || begun) progress = null; // text says more than how far it is
  const connected = socket.state === "connected";
  composer.connected = connected;
  composer.running = running > 0;
  const { selected: model, figures } = models;
  showEngine({ connected, model, figures, running, waiting: store.queue.length, progress, speed: lastSpeed });
  showEmptyState(list.isEmpty, model);
  showTitle([...store.messages.values()].find(({ role }) => role === "user")?.message, running > 0);
  return true;
}

/** Something was said here: from now on a reload comes back to it. */
function keepAddress() {
  if (store.seq > 0 && sessionInAddress() !== store.session) history.replaceState(null, "", `#${store.session}`);
}

store.addEventListener("reset", () => {
  const answered = [...store.messages.values()].findLast(({ timings }) => timings?.tokens_per_second);
  lastSpeed = answered?.timings.tokens_per_second;
});
store.addEventListener("message", ({ detail }) => store.messages.get(detail).running && announce("Answering."));
store.addEventListener("ended", ({ detail }) => {
  const { error, finish_reason, timings } = store.messages.get(detail);
  lastSpeed = timings?.tokens_per_second ?? lastSpeed;
  announce(error ? explain(error).join(" ") : finish_reason === "cancelled" ? "Stopped." : "The answer is complete.");
});
models.addEventListener("change", () => {
  menu.show(models.all, models.current);
  settings.learn(models.maxTokens, models.selected?.temperature);
  settingsPanel.setContext(models.selected?.context_length);
  for (const { name, state } of models.all) if (state !== "loading") loading.end(name);
  refresh();
});
socket.addEventListener("state", () => {
  ws = socket.ws;
  showConnection(socket.state, wasConnected);
  refresh();
});
socket.addEventListener("frame", ({ detail }) => handleMessage(detail));

addEventListener("online", () => socket.wake());
addEventListener("pageshow", ({ persisted }) => persisted && socket.wake());
document.addEventListener("visibilitychange", () => document.hidden || socket.wake());
addEventListener("popstate", () => sessionInAddress() !== store.session && openConversation(sessionInAddress()));
byId("retry-now").addEventListener("click", connect);
byId("new-chat").addEventListener("click", newChat);
byId("copy-link").addEventListener("click", async () => {
  byId("more-panel").hidePopover();
  await copy(location.href);
  announce("The link to this chat is copied.");
});
attachPanel(byId("more-button"), byId("more-panel"), { alignEnd: true });
attachThemeSwitch();
attachShortcuts({ newChat, stop, write: () => messageInput.focus() });
attachStarters((prompt) => {
  composer.text = prompt;
  sendMessage();
  messageInput.focus();
});

store.session = sessionInAddress();
loadAvailableModels();
connect();
if (matchMedia("(pointer: fine)").matches) messageInput.focus();
