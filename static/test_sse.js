/**
 * The page at /test-sse: follows a stream of events whose pace is known, draws when each arrived, and says what it means.
 */
import { delays, judge, seconds } from "./buffering.js";
import { byId, element } from "./view/elements.js";

const SVG = "http://www.w3.org/2000/svg";
const [LEFT, WIDTH] = [74, 554]; // of the chart, in its own units
const SHOWN_MS = 2_000; // of the chart, unless it takes longer

/** @type {import("./buffering.js").Trip[]} */
let trips = [];

function begin() {
  trips = [];
  draw();
  tell({ kind: "trying", title: "Trying…", text: "The events are on their way." });
  byId("again").disabled = true;
  const source = new EventSource("test-sse");
  let expected = 1;
  source.addEventListener("tick", (event) => {
    const { of, sent } = JSON.parse(event.data);
    expected = of;
    trips.push({ sent, arrived: performance.now() });
    draw();
  });
  const end = () => {
    source.close();
    tell(judge(trips, expected));
    list();
    byId("again").disabled = false;
  };
  source.addEventListener("complete", end);
  source.addEventListener("error", end); // it would begin anew by itself
}

function tell({ kind, title, text }) {
  byId("verdict").dataset.verdict = kind;
  byId("verdict-title").textContent = title;
  byId("verdict-text").textContent = text;
}

function draw() {
  const held = trips.length ? delays(trips) : [];
  const last = Math.max(SHOWN_MS, ...trips.map(({ sent }, at) => sent + held[at]));
  const place = (time) => LEFT + (WIDTH * time) / last;
  byId("sent").replaceChildren(...trips.map(({ sent }) => dot(place(sent), 26)));
  byId("arrived").replaceChildren(...trips.map(({ sent }, at) => dot(place(sent + held[at]), 66)));
  byId("to").textContent = seconds(last);
}

function dot(x, y) {
  const circle = document.createElementNS(SVG, "circle");
  for (const [name, value] of Object.entries({ cx: x, cy: y, r: 5 })) circle.setAttribute(name, String(value));
  return circle;
}

function list() {
  const held = trips.length ? delays(trips) : [];
  const rows = trips.map(({ sent }, at) => {
    const times = [seconds(sent), seconds(sent + held[at]), `${Math.round(held[at])} ms`];
    return element("tr", {}, ...[String(at + 1), ...times].map((text) => element("td", {}, text)));
  });
  byId("rows").replaceChildren(...rows);
}

byId("command").textContent = `curl -N -H "Accept: text/event-stream" ${new URL("test-sse", location.href)}`;
byId("again").addEventListener("click", begin);
begin();
