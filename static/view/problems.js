/**
 * Failures in plain words, each with the one thing to do.
 */
const UNREACHABLE = "Error connecting to engine.";

/** @type {Record<string, [string, string]>} by error code: what happened, what to do */
const PROBLEMS = {
  backend_unreachable: [UNREACHABLE, "Check that the engine is running, then ask again."],
  backend_timeout: [UNREACHABLE, "It took too long. Ask again, or pick another model."],
  backend_error: ["The engine failed.", "Ask again, or pick another model."],
  overloaded: ["Engine overloaded.", "Wait a moment, then ask again."],
  rate_limited: ["Too many messages at once.", "Wait a moment, then ask again."],
  model_not_found: ["The model is not there.", "Pick another one from the list."],
  model_invalid: ["The model cannot be used.", "Pick another one from the list."],
  context_overflow: ["The conversation is too long for this model.", "Start a new chat."],
  message_too_long: ["The message is too long.", "Shorten it and send it again."],
  not_found: ["That is no longer there.", ""],
  unsupported: ["This server cannot do that yet.", ""],
  unauthorized: ["You are not logged in to this server.", "Log in, then ask again."],
  internal: ["The server made a mistake.", "Ask again. If it stays, look at the server's log."],
};

export const NOT_CONNECTED = { code: "not_connected", message: UNREACHABLE };

/**
 * @param {{code: string, message?: string, retry_after?: number}} problem as the server says it
 * @returns {[string, string]} what happened, and what to do about it
 */
export function explain(problem) {
  if (problem.code === "not_connected") return [UNREACHABLE, "Check that the server is running. Your draft is kept."];
  const [title, advice] = PROBLEMS[problem.code] ?? ["Something went wrong.", "Try again."];
  const said = problem.message && problem.message !== title ? problem.message : "";
  const wait = problem.retry_after ? `Ask again in ${Math.ceil(problem.retry_after)} s.` : advice;
  return [title, said || wait];
}
