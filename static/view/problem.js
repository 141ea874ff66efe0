/**
 * A failure as it stands in the conversation: what happened, what to do, and the buttons that do it.
 */
import { element, icon } from "./elements.js";
import { explain } from "./problems.js";

/**
 * @param {{code: string, message?: string, retry_after?: number}} problem
 * @param {...Node} remedies
 */
export function problemElement(problem, ...remedies) {
  const [title, advice] = explain(problem);
  const words = element("span", { class: "problem-words" }, element("strong", {}, title), advice ? ` ${advice}` : "");
  return element("div", { class: "message error" }, icon("alert"), words, ...remedies);
}
