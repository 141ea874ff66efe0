/**
 * The list of conversations by day: Pinned, Today, Yesterday, Previous 7 days, then by month.
 *
 * Pure functions of the list and the time. Days are the reader's own, so that midnight is midnight where they are.
 *
 * @typedef {import("../history_api.js").Conversation} Conversation
 * @typedef {{name: string, first: number, count: number}} Group the places `first` to `first + count - 1` of the list
 */
const DAYS_OF_A_WEEK = 7;
const month = new Intl.DateTimeFormat("en", { month: "long" });
const monthAndYear = new Intl.DateTimeFormat("en", { month: "long", year: "numeric" });
const dayAndMonth = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const wholeDate = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/**
 * @param {readonly Conversation[]} items pinned ones first, then the newest change first
 * @param {Date} now
 * @returns {Group[]} none empty, in the list's order; found by bisection, so ten thousand conversations cost nothing
 */
export function groupsOf(items, now) {
  const groups = [];
  for (let first = 0; first < items.length; ) {
    const { name, since } = spanOf(items[first], now);
    const end = firstWhere(items, first, ({ pinned, updated }) => (since === null ? !pinned : updated * 1000 < since));
    groups.push({ name, first, count: end - first });
    first = end;
  }
  return groups;
}

/** How long ago that was, as short as can be. @param {number} seconds since 1970 */
export function shortDate(seconds, now) {
  const date = new Date(seconds * 1000);
  if (date >= startOfDay(now)) return clock.format(date);
  return (date.getFullYear() === now.getFullYear() ? dayAndMonth : wholeDate).format(date);
}

/** Milliseconds until the names of the groups are others. */
export function untilMidnight(now) {
  return startOfDay(now, -1) - now;
}

/** The group that a conversation belongs to, and when that group begins in time; `null`: time does not matter. */
function spanOf({ pinned, updated }, now) {
  if (pinned) return { name: "Pinned", since: null };
  const date = new Date(updated * 1000);
  const recent = [
    ["Today", startOfDay(now)],
    ["Yesterday", startOfDay(now, 1)],
    ["Previous 7 days", startOfDay(now, DAYS_OF_A_WEEK)],
  ];
  for (const [name, since] of recent) if (date >= since) return { name, since };
  const since = new Date(date.getFullYear(), date.getMonth(), 1);
  return { name: (date.getFullYear() === now.getFullYear() ? month : monthAndYear).format(date), since };
}

function startOfDay(now, daysAgo = 0) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - daysAgo);
}

/** The first place from `low` on whose conversation `matches`, given that all after it do. */
function firstWhere(items, low, matches) {
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches(items[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}
