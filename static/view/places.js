/**
 * Where each line of the list of conversations lies, in pixels: headings and lines all have one height each, so that
 * nothing need be measured, and ten thousand lines need not exist to be scrolled through.
 *
 * Knows nothing of the document.
 *
 * @typedef {import("../history_api.js").Conversation} Conversation
 * @typedef {import("./days.js").Group & {top: number}} PlacedGroup
 */
export const ROW_PX = 38; // as in sidebar.css
export const HEADING_PX = 36;

export class Places {
  /** @type {PlacedGroup[]} */ groups = [];
  height = 0;

  /** @param {readonly Conversation[]} items @param {import("./days.js").Group[]} groups of them */
  constructor(items, groups) {
    this.items = items;
    for (const group of groups) {
      this.groups.push({ ...group, top: this.height });
      this.height += heightOf(group);
    }
  }

  /** The top of a line. @param {number} index its place in the list */
  topOf(index) {
    const group = this.groups.findLast(({ first }) => first <= index);
    return group ? group.top + HEADING_PX + (index - group.first) * ROW_PX : 0;
  }

  /** The line at that height, or the nearest in the group there; 0 when there are none. */
  indexAt(y) {
    const group = this.groups.findLast(({ top }) => top <= y) ?? this.groups[0];
    if (!group) return 0;
    const offset = Math.floor((y - group.top - HEADING_PX) / ROW_PX);
    return group.first + Math.max(0, Math.min(offset, group.count - 1));
  }

  /** The lines that begin between two heights. @returns {[Conversation, number][]} each with its top */
  between(from, to) {
    const lines = [];
    for (let index = this.indexAt(from); index < this.items.length; index += 1) {
      const top = this.topOf(index);
      if (top >= to) break;
      if (top >= from) lines.push([this.items[index], top]);
    }
    return lines;
  }
}

/** @param {import("./days.js").Group} group */
export function heightOf({ count }) {
  return HEADING_PX + count * ROW_PX;
}
