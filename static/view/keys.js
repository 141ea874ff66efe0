/**
 * What a press of a key means while text is being written.
 */
const ENTER_OF_AN_IME = 229;

/** Whether this key press belongs to an input method that composes a word. @param {KeyboardEvent} event */
export function isOfAnInputMethod(event) {
  return event.isComposing || event.keyCode === ENTER_OF_AN_IME;
}
