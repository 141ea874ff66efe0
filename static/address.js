/**
 * The page's address, which names the conversation on show: a reload or the link comes back to it.
 *
 * Owns what stands after the `#`. Knows nothing of conversations but their ids.
 */
const withoutConversation = () => location.pathname + location.search;

/** @returns {string | null} the id of a conversation */
export function conversationInAddress() {
  return location.hash.slice(1) || null;
}

/** Name the conversation that is on show already. @param {string | null} id none: one that nothing was said in yet */
export function nameInAddress(id) {
  if (conversationInAddress() !== id) history.replaceState(null, "", id ? `#${id}` : withoutConversation());
}

/** Go to a conversation; the page hears of it as of any other step. @param {string} id */
export function goTo(id) {
  location.hash = id;
}

/** Make a step of its own for a new conversation, so that going back comes to the one before. */
export function stepToNew() {
  history.pushState(null, "", withoutConversation());
}
