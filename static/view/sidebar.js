/**
 * The sidebar: the list of conversations with what can be done to each, the search, files in and out.
 *
 * Joins the list's parts to one another and to the page, whose `navigation` shows a conversation. What is known of
 * them is in `conversations`.
 *
 * @typedef {import("../history_api.js").Conversation} Conversation
 */
import { Search } from "../search.js";
import { announce } from "./announcer.js";
import { ChatList } from "./chat_list.js";
import { byId } from "./elements.js";
import { attachImport } from "./importing.js";
import { Menu } from "./menu.js";
import { SearchBox } from "./search_box.js";
import { Toasts } from "./toasts.js";

const NOT_SAVED = "Conversations are not being saved."; // the server begins with it, and the notice says it already

export class Sidebar {
  #current = null;

  /**
   * @param {import("../conversations.js").Conversations} conversations
   * @param {import("../navigation.js").Navigation} navigation
   * @param {{open: () => void, close: () => void}} drawer which the sidebar is on a narrow screen
   */
  constructor(conversations, navigation, drawer) {
    Object.assign(this, { conversations, navigation, drawer });
    const { api } = conversations;
    this.toasts = new Toasts(byId("toasts"));
    this.menu = new Menu(byId("chat-menu"));
    this.list = new ChatList(byId("chat-scroller"), byId("chat-canvas"), conversations, (row) => this.#furnish(row));
    this.search = new SearchBox(new Search(api), ({ id, message_id }) => navigation.show(id, message_id));
    conversations.addEventListener("change", () => this.#showState());
    conversations.addEventListener("off", () => this.#showOff());
    byId("chats").addEventListener("click", ({ target }) => target.closest("a") && drawer.close());
    byId("import-button").addEventListener("click", attachImport(byId("sidebar"), api, this.toasts));
    byId("export-json").href = api.exportAddress("json");
    byId("export-markdown").href = api.exportAddress("markdown");
  }

  /** @param {string | null} id of the conversation that the page shows */
  set current(id) {
    this.#current = this.list.current = id;
  }

  startSearch() {
    this.drawer.open();
    this.search.focus();
  }

  /** Take back the newest deletion that still can be. Returns whether there was one. */
  undo() {
    return this.toasts.undo();
  }

  #furnish(row) {
    this.menu.attach(row.button, () => ({
      name: `Options for ${row.conversation.title}`,
      items: this.#itemsFor(row),
    }));
    row.link.addEventListener("dblclick", () => this.#rename(row));
    row.element.addEventListener("keydown", (event) => {
      const action = { F2: () => this.#rename(row), Delete: () => this.#delete(row.conversation) }[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }

  /** @returns {import("./menu.js").Item[]} */
  #itemsFor(row) {
    const { conversation } = row;
    const { api } = this.conversations;
    const pin = conversation.pinned ? { label: "Unpin", icon: "unpin" } : { label: "Pin", icon: "pin" };
    return [
      { label: "Rename", icon: "pencil", keys: "F2", run: () => this.#rename(row) },
      { ...pin, run: () => this.#pin(conversation) },
      { label: "Export as JSON", icon: "download", href: api.exportAddress("json", conversation.id) },
      { label: "Export as Markdown", icon: "download", href: api.exportAddress("markdown", conversation.id) },
      { label: "Delete", icon: "trash", keys: "Delete", isGrave: true, run: () => this.#delete(conversation) },
    ];
  }

  #rename(row) {
    const { id } = row.conversation;
    row.rename((title) => {
      this.conversations.rename(id, title).catch((error) => this.#complain("It was not renamed.", error));
    });
  }

  #pin({ id, pinned }) {
    const done = pinned ? "Unpinned." : "Pinned.";
    const failed = pinned ? "It was not unpinned." : "It was not pinned.";
    this.conversations.pin(id, !pinned).then(() => announce(done), (error) => this.#complain(failed, error));
    this.#focus(id);
  }

  /** @param {Conversation} conversation */
  async #delete(conversation) {
    const { conversations, toasts } = this;
    const wasOpen = conversation.id === this.#current;
    const gone = conversations.remove(conversation);
    const undo = { label: "Undo", run: () => this.#restore(conversation, gone, wasOpen) };
    const toast = toasts.show(`Deleted “${conversation.title}”.`, { action: undo });
    if (wasOpen) this.navigation.leave();
    else if (!this.list.focusAtPlaceOf(conversation)) byId("new-chat").focus();
    try {
      await gone;
    } catch (error) {
      toast.close();
      this.#complain("It was not deleted.", error);
      if (wasOpen) this.navigation.show(conversation.id);
    }
  }

  async #restore(conversation, gone, wasOpen) {
    try {
      await gone; // never ask for both at once
      await this.conversations.restore(conversation);
    } catch (error) {
      return this.#complain("It was not restored.", error);
    }
    announce(`Restored “${conversation.title}”.`);
    if (wasOpen) this.navigation.show(conversation.id);
    else this.#focus(conversation.id);
  }

  /** Go on where the conversation is now, unless that is further down than the list has been read. */
  #focus(id) {
    const conversation = this.conversations.get(id);
    if (conversation) this.list.focus(conversation);
  }

  #complain(what, error) {
    this.toasts.show(`${what} ${error.message}`, { isBad: true });
  }

  #showState() {
    const { wasRead, items, off } = this.conversations;
    byId("no-chats").hidden = !wasRead || items.length > 0 || off !== null;
  }

  #showOff() {
    const { off } = this.conversations;
    byId("history-off").hidden = off === null;
    byId("history-off-reason").textContent = off?.replace(NOT_SAVED, "").trim() ?? "";
    announce(off ?? "Conversations are being saved again.");
    this.#showState();
  }
}
