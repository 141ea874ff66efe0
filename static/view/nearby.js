/**
 * Work that is put off until an element comes near to what is seen: of thousands of messages few ever do.
 */
import { byId } from "./elements.js";

const AROUND = "100% 0px"; // a screenful above and below

/** @type {WeakMap<Element, () => void>} */
const putOff = new WeakMap();
/** @type {IntersectionObserver | null} */
let observer = null;

/** Do `act` once, when `node` comes near. @param {HTMLElement} node in the conversation @param {() => void} act */
export function whenNear(node, act) {
  observer ??= new IntersectionObserver(look, { root: byId("scroller"), rootMargin: AROUND });
  putOff.set(node, act);
  observer.observe(node);
}

/** @param {IntersectionObserverEntry[]} entries */
function look(entries) {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    putOff.get(target)();
    putOff.delete(target);
  }
}
