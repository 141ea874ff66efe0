/**
 * The page's composition root: makes the parts, joins them, and says what happens when a frame comes.
 *
 * The state is the store's; what is drawn is the views'. This file holds what passes between them.
 */
import { Account } from "./account.js";
import { conversationInAddress } from "./address.js";
import { Commands } from "./commands.js";
import { Conversations } from "./conversations.js";
import { schedule } from "./frames.js";
import { HistoryApi } from "./history_api.js";
import { Models } from "./models.js";
import { Navigation } from "./navigation.js";
import { Settings } from "./settings.js";
import { ConversationSocket, UNAUTHORIZED } from "./socket.js";
import { Store } from "./store.js";
import { announce } from "./view/announcer.js";
import { Attaching } from "./view/attaching.js";
import { Composer } from "./view/composer.js";
import { showConnection } from "./view/connection.js";
import { attachDrawer } from "./view/drawer.js";
import { byId } from "./view/elements.js";
import { attachStarters, showEmptyState } from "./view/empty_state.js";
import { showEngine } from "./view/engine_card.js";
import { Follower } from "./view/follow.js";
import { LoadingMessages } from "./view/loading.js";
import { attachLogin } from "./view/login.js";
import { MessageList } from "./view/messages.js";
import { ModelMenu } from "./view/model_menu.js";
import { displayName } from "./view/model_names.js";
import { attachMore } from "./view/more.js";
import { explain, NOT_CONNECTED } from "./view/problems.js";
import { SettingsPanel } from "./view/settings_panel.js";
import { attachShortcuts } from "./view/shortcuts.js";
import { Sidebar } from "./view/sidebar.js";
import { showTitle } from "./view/title.js";

export const messageInput = byId("message-input");
export const sendButton = byId("send-button");
export const messagesContainer = byId("messages");
/** @type {WebSocket | null} the open connection, if there is one */
export let ws = null;

const base = new URL(".", document.baseURI);
const socketUrl = new URL("ws", base);
socketUrl.protocol = base.protocol === "https:" ? "wss:" : "ws:";
socketUrl.searchParams.set("sessions", "1"); // this page shows the list of conversations: it is told of all of them

export const store = new Store();
const account = new Account(base);
const models = new Models(base, () => account.lose());
const settings = new Settings();
const socket = new ConversationSocket(socketUrl.href, () => store);
const commands = new Commands(socket, store, {
  params: chosenParams,
  continues: (model) => models.continues(model),
  offline: () => complain(NOT_CONNECTED),
});
const follower = new Follower(byId("scroller"), messagesContainer, byId("jump-to-latest"));
export const list = new MessageList(messagesContainer, store, commands, follower, focusInput);
const loading = new LoadingMessages(addMessage);
const menu = new ModelMenu(chooseModel);
const settingsPanel = new SettingsPanel(settings);
const composer = new Composer(
  { form: byId("chat-form"), input: messageInput, send: sendButton, stop: byId("stop-button") },
  { onSend: sendMessage, onStop: () => commands.stop(), onEditLast: () => list.editLast() },
);
const attaching = new Attaching(composer);
const navigation = new Navigation({ store, socket, list, loading });
const drawer = attachDrawer();
const conversations = new Conversations(new HistoryApi(base, () => account.lose()));
const sidebar = new Sidebar(conversations, navigation, drawer);

/** What the server says of itself, by the state it says it is in: news of one matter replace what was said before. */
const MATTERS = { draining: "server", history_off: "history", history_on: "history" };

let progress = null; // of the running answer
let lastSpeed; // tokens per second of the last answer

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
  const { message, problem } = composer;
  if (!message) return;
  if (socket.state !== "connected") return complain(NOT_CONNECTED);
  if (problem) return complain({ code: "message_too_long", message: problem });
  list.addPending(commands.say(message), message);
  composer.message = "";
  attaching.forget();
  refresh();
  scrollToBottom();
}

/** What each frame does that is no event of the log. */
const TRANSIENTS = {
  system: (frame) => (frame.session ? greet(frame) : tell(frame)),
  session: (frame) => conversations.take(frame),
  ack: ({ cmd_id }) => commands.done(cmd_id),
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
  if (isLogged) navigation.arrived();
  composer.name(conversationInAddress());
  refresh();
}

export function showTypingIndicator(message) {
  list.typing.show(message);
}

export function removeTypingIndicator() {
  list.typing.hide();
}

/** Put a message of the page's own at the end of the conversation. */
export function addMessage(message, type) {
  return list.addMessage(message, type);
}

export function scrollToBottom() {
  follower.scrollToBottom();
}

/** The server's first word on a connection. */
function greet(hello) {
  navigation.greet(hello);
  composer.limits = { chars: hello.max_message_chars, frameBytes: hello.max_frame_bytes };
  if (hello.model) models.select(hello.model);
  loadAvailableModels();
  conversations.refresh();
}

/** The server says something to everybody. */
function tell(frame) {
  list.tell(MATTERS[frame.state], frame.message);
  conversations.heed(frame);
}

/** The server refused something; words that it refused go back to where they were written. */
function refuse(problem) {
  if (problem.code === "bad_resume" || problem.code === "unknown_session") return; // a snapshot or a greeting follows
  const { id, text, late } = commands.refused(problem);
  if (late) return; // what became of it is shown already
  const message = list.removePending(problem.cmd_id);
  if (message && composer.isEmpty) composer.message = message;
  if (id) list.edit(id, text);
  complain(problem);
}

function complain(problem) {
  list.addProblem(problem);
  announce(explain(problem).join(" "));
  scrollToBottom();
}

/** How answers are to be sampled. */
function chosenParams() {
  return settings.params(models.selected?.context_length ?? Infinity);
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
  drawer.close();
  navigation.begin();
  messageInput.focus();
}

/** Have the next key written, unless that would bring up a keyboard on the screen. */
function focusInput() {
  if (matchMedia("(pointer: fine)").matches) messageInput.focus();
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
  composer.stopsAll = commands.stopsAll;
  const { selected: model, figures } = models;
  showEngine({ connected, model, figures, running, waiting: store.queue.length, progress, speed: lastSpeed });
  showEmptyState(list.isEmpty && !navigation.isOpening, model);
  showTitle(conversations.get(store.session)?.title, [...store.messages.values()].find(({ role }) => role === "user")?.message);
  sidebar.current = store.session;
  return true;
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
  list.reconsider();
  refresh();
});
socket.addEventListener("state", () => {
  ws = socket.ws;
  if (navigation.wasDeleted(socket.closeCode)) return;
  showConnection(socket.state, navigation.isGreeted, socket.closeCode);
  if (socket.closeCode !== null && !account.isLost) account.look(); // a refused handshake looks like any other failure
  refresh();
});
account.addEventListener("lost", () => socket.rest());
account.addEventListener("found", () => socket.closeCode === UNAUTHORIZED && connect());
for (const event of ["changed", "left"]) account.addEventListener(event, () => location.replace(base));
socket.addEventListener("frame", ({ detail }) => handleMessage(detail));

addEventListener("online", () => socket.wake());
addEventListener("pageshow", ({ persisted }) => persisted && socket.wake());
document.addEventListener("visibilitychange", () => document.hidden || socket.wake());
commands.addEventListener("stops", refresh);
commands.addEventListener("returned", ({ detail }) => {
  if (composer.isEmpty) composer.message = detail;
});
navigation.addEventListener("change", () => {
  commands.clear();
  composer.show(conversationInAddress());
  focusInput();
  refresh();
});
byId("retry-now").addEventListener("click", connect);
byId("new-chat").addEventListener("click", newChat);
attachMore();
attachLogin(account);
byId("log-out").addEventListener("click", () => account.logOut().catch(() => complain(NOT_CONNECTED)));
attachShortcuts({
  newChat,
  search: () => sidebar.startSearch(),
  stop: () => commands.stop(),
  undo: () => sidebar.undo(),
  write: () => messageInput.focus(),
});
attachStarters((prompt) => {
  composer.message = prompt;
  sendMessage();
  messageInput.focus();
});

composer.show(conversationInAddress());
account.look();
loadAvailableModels();
navigation.start();
focusInput();
