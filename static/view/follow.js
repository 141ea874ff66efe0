/**
 * Keeps the latest text in view while the reader is at the bottom, and offers the way back when not.
 *
 * Owns the scroll position. The page never moves under a reader who has scrolled up.
 */
const NEAR_PX = 48;
const EDGE_PX = 12; // kept above a beginning that would leave the screen

export class Follower {
  #following = true;
  #top = 0;
  #room = 0; // px left empty below the content, so that what is held can stay where it is

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content grows inside it
   * @param {HTMLButtonElement} jumpButton
   */
  constructor(scroller, content, jumpButton) {
    this.scroller = scroller;
    this.content = content;
    this.jumpButton = jumpButton;
    scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    const observer = new ResizeObserver(() => (this.#following ? this.scrollToBottom() : this.#look()));
    observer.observe(content);
    observer.observe(scroller);
    jumpButton.addEventListener("click", () => {
      this.scrollToBottom();
      scroller.focus({ preventScroll: true });
    });
  }

  scrollToBottom() {
    this.#follow(true);
    this.#leaveRoom(0);
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#top = this.scroller.scrollTop;
  }

  /** Go to an element, stay there, and point it out. @param {HTMLElement} node */
  show(node) {
    this.#follow(false);
    node.scrollIntoView({ block: "center" });
    node.classList.add("found");
    for (const kind of ["pointerdown", "keydown"]) {
      addEventListener(kind, () => node.classList.remove("found"), { once: true, capture: true });
    }
  }

  /** Whether an element begins below what is seen. @param {HTMLElement} node */
  isBelow(node) {
    return node.getBoundingClientRect().top > this.scroller.getBoundingClientRect().bottom;
  }

  /**
   * Make a change in the middle of the content, and keep the control that was pressed, or the new one in its place,
   * where it is on the screen; unless the beginning of what stands there now would leave the screen by that.
   * @typedef {{beginning: HTMLElement, control: HTMLElement}} Place
   * @param {Place} place what will be taken away
   * @param {() => Place | null} change gives what stands there afterwards, if anything does
   */
  hold({ beginning, control }, change) {
    const { top: edge } = this.scroller.getBoundingClientRect();
    const was = { beginning: topOf(beginning), control: topOf(control) };
    const now = change();
    if (!now) return;
    const further = topOf(now.control) - was.control;
    const room = topOf(now.beginning) - edge - EDGE_PX;
    this.#scrollBy(was.beginning >= edge ? Math.min(further, Math.max(room, 0)) : further);
  }

  /** Scroll by so many px, even past the end of the content. */
  #scrollBy(distance) {
    const { scroller } = this;
    const wanted = scroller.scrollTop + distance;
    const below = scroller.scrollHeight - this.#room - wanted - scroller.clientHeight;
    this.#leaveRoom(Math.max(0, -below));
    scroller.scrollTop = wanted;
    this.#top = scroller.scrollTop;
    this.#follow(this.#room === 0 && below < NEAR_PX);
  }

  #leaveRoom(room) {
    this.#room = room;
    this.content.style.paddingBottom = room ? `${room}px` : "";
  }

  /** The content may have grown since we scrolled, so being far from the bottom says nothing: going up does. */
  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const below = scrollHeight - this.#room - scrollTop - clientHeight;
    if (this.#room) this.#leaveRoom(Math.max(0, Math.min(this.#room, -below)));
    else if (below < NEAR_PX) this.#follow(true);
    else if (scrollTop < this.#top) this.#follow(false);
    this.#top = scrollTop;
  }

  #follow(following) {
    this.#following = following;
    this.jumpButton.hidden = following || this.#room > 0;
  }
}

function topOf(node) {
  return node.getBoundingClientRect().top;
}
