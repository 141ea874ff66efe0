/**
 * Keeps the latest text in view while the reader is at the bottom, and offers the way back when not.
 *
 * Owns the scroll position. The page never moves under a reader who has scrolled up.
 */
const NEAR_PX = 48;

export class Follower {
  #following = true;
  #top = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content grows inside it
   * @param {HTMLButtonElement} jumpButton
   */
  constructor(scroller, content, jumpButton) {
    this.scroller = scroller;
    this.jumpButton = jumpButton;
    scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    const observer = new ResizeObserver(() => this.#following && this.scrollToBottom());
    observer.observe(content);
    observer.observe(scroller);
    jumpButton.addEventListener("click", () => {
      this.scrollToBottom();
      scroller.focus({ preventScroll: true });
    });
  }

  scrollToBottom() {
    this.#follow(true);
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#top = this.scroller.scrollTop;
  }

  /** The content may have grown since we scrolled, so being far from the bottom says nothing: going up does. */
  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#follow(true);
    else if (scrollTop < this.#top) this.#follow(false);
    this.#top = scrollTop;
  }

  #follow(following) {
    this.#following = following;
    this.jumpButton.hidden = following;
  }
}
