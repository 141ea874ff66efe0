/**
 * What the times of events say about the way they came. Owns the verdict and its words; knows no page and no stream.
 *
 * The two clocks need not agree: of all events, the one that was under way for the shortest time counts as not held.
 */
const HELD_MS = 400;
const TOGETHER_MS = 20; // events that arrive closer than that came in one lump

/**
 * @typedef {{sent: number, arrived: number}} Trip both in milliseconds, each by a clock of its own
 * @typedef {{kind: "good" | "held" | "broken", title: string, text: string}} Verdict
 */

/** How long each event was held back, in milliseconds. @param {Trip[]} trips @returns {number[]} */
export function delays(trips) {
  const quickest = Math.min(...trips.map((trip) => trip.arrived - trip.sent));
  return trips.map((trip) => trip.arrived - trip.sent - quickest);
}

/** @param {Trip[]} trips those that arrived @param {number} expected @returns {Verdict} */
export function judge(trips, expected) {
  if (trips.length < expected) return broken(trips.length, expected);
  const longest = Math.max(...delays(trips));
  return longest < HELD_MS ? good(longest) : held(trips, longest);
}

function broken(came, expected) {
  const text = came
    ? `Only ${came} of ${expected} events arrived. Something in between ends streams before they are over, or the server has stopped.`
    : "No event arrived. The server cannot be reached from here, or something in between does not let streams through.";
  return { kind: "broken", title: came ? "The stream broke off." : "Nothing arrived.", text };
}

function good(longest) {
  const text = `Every event arrived when it was sent, give or take ${Math.round(longest)} milliseconds. Answers appear here as they are written.`;
  return { kind: "good", title: "Nothing in between holds the text back.", text };
}

function held(trips, longest) {
  const lumps = trips.filter((trip, at) => !at || trip.arrived - trips[at - 1].arrived > TOGETHER_MS).length;
  const came = lumps === 1 ? "all at once" : `in ${lumps} lumps`;
  const text = `${trips.length} events were sent one by one, and arrived ${came}: one was held for ${seconds(longest)}. A proxy on the way gathers what it should pass on. Turn that off there, such as with “proxy_buffering off” in nginx.`;
  return { kind: "held", title: "Something in between holds the text back.", text };
}

/** @param {number} milliseconds */
export function seconds(milliseconds) {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
