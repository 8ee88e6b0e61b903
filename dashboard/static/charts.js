/** Two small charts drawn as SVG: the buffer's level, and what each node delivered. */

import { byId, nodeColour, nodeIndex, setText } from "./dom.js";
import * as format from "./format.js";

const SPAN_SEC = 300;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 140;
// A gap this long is no line: nothing was playing.
const GAP_SEC = 3;

let samples = [];

export function applyHistory(message) {
  if (message.reset) samples = [];
  samples.push(...message.samples);
  const newest = samples.at(-1)?.at_unix_sec ?? 0;
  samples = samples.filter((s) => s.at_unix_sec > newest - SPAN_SEC);
}

export function drawCharts(targetSec, lowSec) {
  const newest = samples.at(-1)?.at_unix_sec ?? 0;
  const span = Math.min(SPAN_SEC, Math.max(30, newest - (samples[0]?.at_unix_sec ?? newest)));
  const x = (sample) => WIDTH - ((newest - sample.at_unix_sec) / span) * WIDTH;
  drawLevel(x, targetSec, lowSec);
  drawRates(x);
}

function drawLevel(x, targetSec, lowSec) {
  const top = Math.max(targetSec * 1.15, ...samples.map((s) => s.buffer_level_sec), 1);
  const y = (level) => HEIGHT - (level / top) * HEIGHT;
  const parts = [];
  for (const stalled of runs((s) => s.stalled)) {
    const from = x(stalled[0]);
    const width = Math.max(2, x(stalled.at(-1)) - from);
    parts.push(shape("rect", { class: "stall", x: from, y: 0, width, height: HEIGHT }));
  }
  for (const run of runs(() => true)) {
    const line = run.map((s) => `${x(s).toFixed(1)},${y(s.buffer_level_sec).toFixed(1)}`).join(" ");
    parts.push(shape("polygon", { class: "area", points: `${x(run[0])},${HEIGHT} ${line} ${x(run.at(-1))},${HEIGHT}` }));
    parts.push(shape("polyline", { class: "line", points: line }));
  }
  parts.push(shape("line", { class: "target", x1: 0, x2: WIDTH, y1: y(targetSec), y2: y(targetSec) }));
  parts.push(shape("line", { class: "low", x1: 0, x2: WIDTH, y1: y(lowSec), y2: y(lowSec) }));
  paint("level-chart", parts);
  const stalls = samples.filter((s) => s.stalled).length;
  setText(
    "level-caption",
    samples.length
      ? `dashed: target ${targetSec} s, dotted: low water ${lowSec} s${stalls ? `; shaded: stalled ${stalls} s` : ""}`
      : "waiting for the first second",
  );
}

function drawRates(x) {
  const nodes = [...new Set(samples.flatMap((s) => Object.keys(s.node_mbps)))].sort(
    (a, b) => nodeIndex(a) - nodeIndex(b),
  );
  const sums = samples.map((s) => Object.values(s.node_mbps).reduce((sum, rate) => sum + rate, 0));
  const top = Math.max(...sums, 1) * 1.1;
  const y = (rate) => HEIGHT - (rate / top) * HEIGHT;
  const parts = [];
  for (const run of runs(() => true)) {
    const base = new Map(run.map((s) => [s, 0]));
    for (const node of nodes) {
      const lower = run.map((s) => `${x(s).toFixed(1)},${y(base.get(s)).toFixed(1)}`).reverse();
      for (const s of run) base.set(s, base.get(s) + (s.node_mbps[node] ?? 0));
      const upper = run.map((s) => `${x(s).toFixed(1)},${y(base.get(s)).toFixed(1)}`);
      const layer = shape("polygon", { class: "layer", points: [...upper, ...lower].join(" ") });
      layer.style.fill = nodeColour(node);
      parts.push(layer);
    }
  }
  paint("rate-chart", parts);
  const last = sums.at(-1);
  setText("rate-caption", last === undefined ? "waiting for the first second" : `now ${format.megabits(last)}, peak ${format.megabits(Math.max(...sums))}`);
}

/** Split the samples into stretches without gaps for which `holds`. */
function runs(holds) {
  const found = [];
  let run = [];
  let before = null;
  for (const sample of samples) {
    if (run.length && (!holds(sample) || sample.at_unix_sec - before > GAP_SEC)) {
      found.push(run);
      run = [];
    }
    if (holds(sample)) run.push(sample);
    before = sample.at_unix_sec;
  }
  if (run.length) found.push(run);
  return found;
}

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function paint(id, parts) {
  const chart = byId(id);
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  chart.setAttribute("preserveAspectRatio", "none");
  chart.replaceChildren(...parts);
}
