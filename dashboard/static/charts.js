/** The two charts over time: the buffer's level, and what each node delivered, stacked. */

import { byId, make, nodeBadge, nodeColour, nodeIndex, reconcile, setText } from "./dom.js";
import * as format from "./format.js";
import { spanOf } from "./history.js";

const LEAST_SPAN_SEC = 30;
const HEIGHT_PX = 190;
// More layers cannot be told apart; the rest is one, grey.
const MAX_LAYERS = 9;
const OTHERS = "others";
const charts = new Map();
let spanSec = 300;
let targetSec = 30;
let lowSec = 15;
let found = null;
let layers = [];

/** Draw both charts anew; called once a second. */
export function drawCharts(buffer) {
  targetSec = buffer?.target_buffer_sec ?? targetSec;
  lowSec = buffer?.low_water_mark_sec ?? lowSec;
  if (!window.uPlot || document.hidden || byId("session-view").hidden) return;
  found = spanOf(spanSec);
  if (!found.at.length) {
    setText("rate-caption", "waiting for the first second");
    return;
  }
  drawLevel();
  drawRates();
}

function drawLevel() {
  const key = colour("--accent");
  show("level-chart", `level ${key}`, [found.at, found.level], () => ({
    series: [{}, { stroke: key, width: 2, fill: faded(key), points: { show: false } }],
    top: (most) => Math.max(targetSec * 1.15, most * 1.05, 1),
    hooks: { drawClear: [drawBands], draw: [drawLines] },
  }));
  const stalled = found.state.filter((state) => state === "rebuffering").length;
  const now = found.level.at(-1);
  setText("stall-total", stalled ? `${stalled} s` : "");
  byId("level-chart").setAttribute(
    "aria-label",
    `Buffer level of the last ${spanWords()}: now ${format.seconds(now)}, target ${format.seconds(targetSec, 0)}, low water ${format.seconds(lowSec, 0)}, stalled ${stalled} s. Arrow keys read it second by second.`,
  );
}

function drawRates() {
  layers = layersOf();
  const sums = found.at.map(() => 0);
  // The lowest layer is drawn last, over the others, each of which reaches down to the ground.
  const stacked = layers
    .map((layer) => layer.values.map((value, i) => (value === null ? null : (sums[i] += value))))
    .reverse();
  const colours = layers.map((layer) => colour(layer.colour)).reverse();
  const edge = colour("--card");
  show("rate-chart", ["rate", edge, ...colours].join(" "), [found.at, ...stacked], () => ({
    series: [{}, ...colours.map((fill) => ({ stroke: edge, width: 1, fill, paths: window.uPlot.paths.stepped({ align: -1 }), points: { show: false } }))],
    top: (most) => Math.max(most * 1.1, 1),
    hooks: {},
  }));
  const peak = Math.max(...sums);
  setText("rate-caption", `now ${format.megabits(sums.at(-1))}, peak ${format.megabits(peak)}`);
  byId("rate-chart").setAttribute(
    "aria-label",
    `Throughput of the last ${spanWords()}: ${layers.map((layer) => `${layer.name} ${format.megabits(layer.values.at(-1))}`).join(", ")}. Arrow keys read it second by second.`,
  );
  reconcile(
    byId("rate-legend"),
    layers,
    (layer) => layer.name,
    (layer) => make("li", {}, [
      layer.url ? nodeBadge(layer.url) : make("i", { class: "node-badge others", text: "+" }),
      make("span", { text: layer.name }),
    ]),
    () => {},
  );
}

function layersOf() {
  const nodes = found.nodes.map((url) => {
    const values = found.rate(url);
    return { url, name: format.shortNode(url), colour: nodeColour(url), values, total: values.reduce((sum, v) => sum + (v ?? 0), 0) };
  });
  const byTotal = [...nodes].sort((a, b) => b.total - a.total);
  const chosen = new Set(nodes.length > MAX_LAYERS + 1 ? byTotal.slice(0, MAX_LAYERS) : byTotal);
  const shown = nodes.filter((node) => chosen.has(node)).sort((a, b) => nodeIndex(a.url) - nodeIndex(b.url));
  const rest = nodes.filter((node) => !chosen.has(node));
  if (rest.length) {
    const values = found.at.map((_, i) => (found.level[i] === null ? null : rest.reduce((sum, node) => sum + node.values[i], 0)));
    shown.push({ name: `${rest.length} ${OTHERS}`, colour: "--muted", values });
  }
  return shown;
}

/** Give a chart new data; it is made anew when `key` tells that its lines or colours are others. */
function show(id, key, data, describe) {
  const box = byId(id);
  const known = charts.get(id);
  if (known && known.key === key) {
    known.chart.setData(data);
    return;
  }
  known?.chart.destroy();
  box.replaceChildren();
  const made = describe();
  const chart = new window.uPlot(optionsOf(id, box, made), data, box);
  charts.set(id, { key, chart });
}

function optionsOf(id, box, made) {
  const muted = colour("--muted");
  const grid = { stroke: colour("--edge"), width: 1 };
  const font = "12px system-ui, sans-serif";
  return {
    width: box.clientWidth,
    height: HEIGHT_PX,
    padding: [10, 30, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { time: false, range: () => [Math.min(found.at[0], found.newest - LEAST_SPAN_SEC), found.newest] },
      y: { range: (_, __, most) => [0, made.top(most ?? 0)] },
    },
    axes: [
      { stroke: muted, font, grid: { show: false }, ticks: { show: false }, size: 26, space: 76, values: (_, splits) => splits.map(timeText) },
      { stroke: muted, font, grid, ticks: { show: false }, size: 34, space: 34, values: (_, splits) => splits.map((value) => `${value}`) },
    ],
    series: made.series,
    hooks: { ...made.hooks, setCursor: [(chart) => readOut(id, chart.cursor.idx)] },
  };
}

function timeText(unixSec) {
  const text = format.timeOfDay(unixSec);
  return spanSec > 600 ? text.slice(0, 5) : text;
}

/** Shade the seconds that stalled or were paused; stalls are hatched, too, so that colour is not all that tells them. */
function drawBands(chart) {
  const { ctx } = chart;
  const { left, top, width, height } = chart.bbox;
  for (const [state, token] of [["rebuffering", "--bad"], ["paused", "--muted"]]) {
    for (const [from, to] of runsOf(state)) {
      const x = Math.max(left, chart.valToPos(from - 0.5, "x", true));
      const wide = Math.min(left + width, Math.max(x + 2, chart.valToPos(to + 0.5, "x", true))) - x;
      if (wide <= 0) continue;
      ctx.save();
      ctx.beginPath();
      ctx.rect(x, top, wide, height);
      ctx.clip();
      ctx.globalAlpha = 0.18;
      ctx.fillStyle = ctx.strokeStyle = colour(token);
      ctx.fillRect(x, top, wide, height);
      if (state === "rebuffering") {
        ctx.globalAlpha = 0.6;
        ctx.beginPath();
        for (let start = x - height; start < x + wide; start += 9) {
          ctx.moveTo(start, top + height);
          ctx.lineTo(start + height, top);
        }
        ctx.stroke();
      }
      ctx.restore();
    }
  }
}

function runsOf(state) {
  const runs = [];
  for (let i = 0; i < found.at.length; i += 1) {
    if (found.state[i] !== state) continue;
    if (i && found.state[i - 1] === state) runs.at(-1)[1] = found.at[i];
    else runs.push([found.at[i], found.at[i]]);
  }
  return runs;
}

function drawLines(chart) {
  const { ctx } = chart;
  const { left, width } = chart.bbox;
  const ratio = window.devicePixelRatio || 1;
  ctx.save();
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  for (const [value, dash, token, name] of [
    [targetSec, [7, 5], "--good", "target"],
    [lowSec, [2, 4], "--warn", "low water"],
  ]) {
    const y = chart.valToPos(value, "y", true);
    ctx.strokeStyle = ctx.fillStyle = colour(token);
    ctx.lineWidth = 1.5 * ratio;
    ctx.setLineDash(dash.map((part) => part * ratio));
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    // Readable on the line, too.
    ctx.setLineDash([]);
    ctx.lineWidth = 4 * ratio;
    ctx.strokeStyle = colour("--card");
    ctx.strokeText(`${name} ${format.number(value, 0)} s`, left + 6 * ratio, y - 2 * ratio);
    ctx.fillText(`${name} ${format.number(value, 0)} s`, left + 6 * ratio, y - 2 * ratio);
  }
  ctx.restore();
}

/** Say the values at the cursor in words. */
function readOut(id, index) {
  const level = id === "level-chart";
  const target = level ? "level-readout" : "rate-readout";
  if (index === null || index === undefined || !found || found.level[index] === null || found.level[index] === undefined) {
    setText(target, "");
    return;
  }
  const when = format.timeOfDay(found.at[index]);
  const values = level
    ? [`${format.seconds(found.level[index])} ahead`, found.state[index]]
    : layers.map((layer) => `${layer.name} ${format.megabits(layer.values[index])}`);
  setText(target, `${when}: ${values.join(", ")}`);
}

function spanWords() {
  return spanSec === 300 ? "five minutes" : "hour";
}

function faded(text) {
  return text.startsWith("#") ? `${text}2e` : text;
}

/** Return the value of a colour of the style sheet, which a canvas cannot read itself. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name.replace(/^var\(|\)$/g, "")).trim();
}

/** Let charts follow the span that is chosen, the window's width, the colour scheme and the arrow keys. */
export function watchCharts() {
  const buttons = [...document.querySelectorAll("[data-span]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      spanSec = Number(button.dataset.span);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      drawCharts();
    });
  }
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) charts.get(target.id)?.chart.setSize({ width: target.clientWidth, height: HEIGHT_PX });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts());
  document.addEventListener("visibilitychange", () => drawCharts());
  for (const id of ["level-chart", "rate-chart"]) {
    resized.observe(byId(id));
    byId(id).addEventListener("keydown", (event) => walk(event, id));
  }
}

function walk(event, id) {
  const chart = charts.get(id)?.chart;
  const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
  if (!chart || !step) return;
  event.preventDefault();
  const last = found.at.length - 1;
  const index = Math.min(last, Math.max(0, (chart.cursor.idx ?? last) + step));
  chart.setCursor({ left: chart.valToPos(found.at[index], "x"), top: 0 });
}
