/** The strip of chunks: one cell per chunk, coloured by the nodes that delivered it. */

import { byId, make, nodeBadge, nodeColour, nodeLetter, reconcile, setText } from "./dom.js";
import * as format from "./format.js";

// Above this a cell has no room for its letter.
const ROOMY = 240;
// A cell for every chunk of a very long film would cost more than it tells.
const MAX_CELLS = 5000;
const UNTOUCHED = "untouched";
const SIGNS = { wanted: "…", missing: "×" };

const known = new Map();
let total = 0;
let current = -1;
let inFlight = new Map();
let focused = 0;

export function applyChunks(message) {
  if (message.reset) {
    known.clear();
    focused = 0;
  }
  total = message.total_chunks;
  for (const chunk of message.chunks) known.set(chunk.sequence_num, chunk);
  draw(message.reset ? null : message.chunks.map((chunk) => chunk.sequence_num));
}

/** Mark the chunk being played and those being fetched; redraw only what that changes. */
export function markActivity(currentSequence, ranges) {
  const fetched = new Map();
  for (const range of ranges) {
    const found = fetched.get(range.sequence_num) ?? [];
    found.push(range);
    fetched.set(range.sequence_num, found);
  }
  const touched = new Set([...inFlight.keys(), ...fetched.keys(), current, currentSequence]);
  current = currentSequence;
  inFlight = fetched;
  const strip = byId("chunk-strip");
  for (const sequence of touched) {
    const cell = strip.children[sequence];
    if (cell) drawCell(cell, sequence);
  }
}

/** Draw the cells of `changed`, or all of them. */
function draw(changed) {
  const strip = byId("chunk-strip");
  const needed = [...known.keys()].reduce((most, sequence) => Math.max(most, sequence + 1), total);
  const count = Math.min(MAX_CELLS, needed);
  const all = changed === null || strip.children.length !== count;
  strip.classList.toggle("dense", count > ROOMY);
  while (strip.children.length > count) strip.lastElementChild.remove();
  while (strip.children.length < count) {
    strip.append(make("li", { class: "cell", attributes: { tabindex: "-1" } }));
  }
  const drawn = all ? Array.from({ length: count }, (_, sequence) => sequence) : changed;
  for (const sequence of drawn) if (strip.children[sequence]) drawCell(strip.children[sequence], sequence);
  if (strip.children[focused]) strip.children[focused].tabIndex = 0;
  const done = [...known.values()].filter((c) => c.state === "held" || c.state === "played").length;
  setText("chunk-count", total ? `${done} of ${total} chunks here` : "");
  drawLegend();
}

function drawCell(cell, sequence) {
  const chunk = known.get(sequence);
  const state = chunk?.state ?? UNTOUCHED;
  const sources = chunk?.sources ?? [];
  const fetching = inFlight.has(sequence) && state !== "held" && state !== "played";
  cell.dataset.state = fetching ? "wanted" : state;
  cell.classList.toggle("current", sequence === current);
  const sign = sources.length ? nodeLetter(sources[0].node_url) : (SIGNS[cell.dataset.state] ?? "");
  setText(cell, sign);
  const background = sources.length ? gradient(sources) : "";
  if (cell.dataset.paint !== background) {
    cell.dataset.paint = background;
    cell.style.setProperty("--paint", background || "transparent");
  }
  const text = describe(sequence, cell.dataset.state, chunk);
  if (cell.title !== text) {
    cell.title = text;
    cell.setAttribute("aria-label", text);
  }
}

function gradient(sources) {
  if (sources.length === 1) return nodeColour(sources[0].node_url);
  let from = 0;
  const stops = sources.map((source) => {
    const to = from + source.share * 100;
    const stop = `${nodeColour(source.node_url)} ${from.toFixed(1)}% ${to.toFixed(1)}%`;
    from = to;
    return stop;
  });
  return `linear-gradient(to top, ${stops.join(", ")})`;
}

function describe(sequence, state, chunk) {
  const parts = [`Chunk ${sequence}: ${sequence === current ? `${state}, at the playhead` : state}`];
  if (chunk) parts.push(`${format.bytes(chunk.size_bytes)}, ${format.seconds(chunk.duration_sec)}`);
  for (const { node_url: node, size_bytes: size, share } of chunk?.sources ?? []) {
    parts.push(`${nodeLetter(node)} ${format.shortNode(node)} ${format.bytes(size)} (${format.percent(share)})`);
  }
  for (const range of inFlight.get(sequence) ?? []) {
    parts.push(`${format.percent(range.progress_ratio)} of a range from ${format.shortNode(range.node_url)}`);
  }
  return parts.join(" · ");
}

function drawLegend() {
  const totals = new Map();
  for (const chunk of known.values()) {
    for (const [place, source] of chunk.sources.entries()) {
      const sum = totals.get(source.node_url) ?? { bytes: 0, chunks: 0 };
      sum.bytes += source.size_bytes;
      sum.chunks += place === 0 ? 1 : 0;
      totals.set(source.node_url, sum);
    }
  }
  const all = [...totals.values()].reduce((sum, t) => sum + t.bytes, 0) || 1;
  const rows = [...totals].sort((a, b) => b[1].bytes - a[1].bytes);
  reconcile(
    byId("node-legend"),
    rows,
    ([url]) => url,
    ([url]) => make("li", {}, [nodeBadge(url), make("span", { class: "strong", text: format.shortNode(url) }), make("span", { class: "muted" })]),
    (item, [, sum]) => setText(item.lastElementChild, `${sum.chunks} ${sum.chunks === 1 ? "chunk" : "chunks"}, ${format.bytes(sum.bytes)} (${format.percent(sum.bytes / all)})`),
  );
}

/** Show a chunk's sources while it is pointed at or focused; arrow keys walk the strip. */
export function watchStrip() {
  const strip = byId("chunk-strip");
  const show = (event) => {
    const cell = event.target.closest?.(".cell");
    if (cell) setText("chunk-detail", cell.title);
  };
  strip.addEventListener("pointerover", show);
  strip.addEventListener("focusin", show);
  strip.addEventListener("click", show);
  strip.addEventListener("keydown", (event) => {
    const last = strip.children.length - 1;
    const steps = { ArrowRight: focused + 1, ArrowLeft: focused - 1, Home: 0, End: last };
    if (!(event.key in steps) || last < 0) return;
    event.preventDefault();
    const next = Math.min(last, Math.max(0, steps[event.key]));
    strip.children[focused].tabIndex = -1;
    strip.children[next].tabIndex = 0;
    focused = next;
    strip.children[next].focus();
  });
}
