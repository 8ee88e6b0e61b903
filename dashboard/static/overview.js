/** The whole film as one strip, however many chunks it has: a column for each, or for as many as share a pixel. */

import { byId, nodeColour } from "./dom.js";

const HEIGHT_PX = 34;
const BAR_TOP = 7;
// Of the chunks that share a column the one that matters most is shown.
const RANKS = { missing: 5, flight: 4, wanted: 3, held: 2, played: 1, untouched: 0 };

export function drawOverview({ total, current, first, count, known, stateOf }) {
  const canvas = byId("chunk-overview");
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  if (canvas.width !== Math.round(width * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT_PX * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, HEIGHT_PX);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name.replace(/^var\(|\)$/g, "")).trim();
  const colours = new Map();
  const tone = (name) => {
    if (!colours.has(name)) colours.set(name, colour(name));
    return colours.get(name);
  };
  const high = HEIGHT_PX - BAR_TOP - 5;
  context.fillStyle = tone("--track");
  context.fillRect(0, BAR_TOP, width, high);
  const columns = Math.min(total, Math.floor(width));
  const wide = width / columns;
  for (let column = 0; column < columns; column += 1) {
    const from = Math.floor((column * total) / columns);
    const to = Math.max(from + 1, Math.floor(((column + 1) * total) / columns));
    let shown = from;
    let retried = false;
    for (let sequence = from; sequence < to; sequence += 1) {
      if (RANKS[stateOf(sequence)] > RANKS[stateOf(shown)]) shown = sequence;
      retried ||= Boolean(known.get(sequence)?.failures);
    }
    drawColumn(context, tone, { x: column * wide, wide, high, state: stateOf(shown), url: known.get(shown)?.sources[0]?.node_url, retried });
  }
  const place = (sequence) => (sequence / total) * width;
  context.strokeStyle = tone("--text");
  context.lineWidth = 2;
  context.strokeRect(place(first) + 1, BAR_TOP - 2, Math.max(4, place(first + count) - place(first) - 2), high + 4);
  if (current >= 0) {
    const x = place(current + 0.5);
    context.fillStyle = tone("--text");
    context.beginPath();
    context.moveTo(x - 5, 0);
    context.lineTo(x + 5, 0);
    context.lineTo(x, 6);
    context.fill();
  }
  canvas.setAttribute("aria-label", `All ${total} chunks of the film; the cells below are chunks ${first} to ${first + count - 1}`);
}

/** States differ in shape too: held is full, played low, what comes stands on one foot, what is missing is crossed out. */
function drawColumn(context, tone, { x, wide, high, state, url, retried }) {
  const gap = wide > 3 ? 1 : 0;
  const bottom = BAR_TOP + high;
  if (url) {
    context.fillStyle = tone(nodeColour(url));
    const tall = state === "played" ? high * 0.6 : high;
    context.fillRect(x, bottom - tall, wide - gap, tall);
  } else if (state === "flight" || state === "wanted") {
    context.fillStyle = tone("--muted");
    const tall = state === "flight" ? high * 0.45 : high * 0.2;
    context.fillRect(x, bottom - tall, wide - gap, tall);
  } else if (state === "missing") {
    context.fillStyle = tone("--bad");
    context.fillRect(x, BAR_TOP, wide - gap, 5);
    context.fillRect(x, bottom - 5, wide - gap, 5);
  }
  if (retried) {
    context.fillStyle = tone("--bad");
    context.fillRect(x, bottom + 1, Math.max(2, wide - gap), 4);
  }
}
