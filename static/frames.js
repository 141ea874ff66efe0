/**
 * Work done between frames, within a budget, so that the page never stalls.
 *
 * Owns one queue of tasks. A task does a small piece at a time and says whether it is finished; the newest goes first,
 * for that is what the reader looks at. Knows nothing of what the work is.
 */
const BUDGET_MS = 8;

/** @typedef {(deadline: number) => boolean} Task works until `performance.now()` is `deadline`; true when finished */

/** @type {Set<Task>} */
const tasks = new Set();
let scheduled = 0;

/** Have `task` run in the coming frames until it is finished. Asking twice is asking once. */
export function schedule(task) {
  tasks.delete(task);
  tasks.add(task);
  scheduled ||= requestAnimationFrame(run);
}

/** Run `task` no more. */
export function unschedule(task) {
  tasks.delete(task);
}

function run() {
  scheduled = 0;
  const deadline = performance.now() + BUDGET_MS;
  for (const task of [...tasks].reverse()) {
    if (task(deadline)) tasks.delete(task);
    if (performance.now() >= deadline) break;
  }
  if (tasks.size) scheduled ||= requestAnimationFrame(run);
}
