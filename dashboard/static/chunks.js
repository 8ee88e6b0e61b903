/** The chunk map: a strip of the whole film, and the chunks around the playhead or the one looked at, one cell each. */

import { byId, make, nodeBadge, nodeColour, nodeLetter, reconcile, setText, setVar } from "./dom.js";
import * as format from "./format.js";
import { drawOverview } from "./overview.js";
import { lanesOf, paintOf } from "./paint.js";
import { forgetStory, tellStory } from "./story.js";

// The narrowest cell that a finger hits and a letter fits into.
const CELL_PX = 34;
const MAX_CELLS = 64;
const UNTOUCHED = "untouched";
const SIGNS = { flight: "↓", wanted: "…", missing: "×" };

/** Chunks by their number; as many as the film has at most. */
const known = new Map();
let total = 0;
let current = -1;
let inFlight = new Map();
let focused = 0;
let first = 0;
/** Whether the cells follow the playhead: until the viewer walks away. */
let follows = true;

export function applyChunks(message) {
  if (message.reset) {
    known.clear();
    focused = first = 0;
    follows = true;
    forgetStory();
  }
  total = message.total_chunks;
  for (const chunk of message.chunks) known.set(chunk.sequence_num, chunk);
  draw();
  if (message.chunks.some((chunk) => chunk.sequence_num === focused)) tellStory(facts(focused), false);
}

/** Take where the playhead is and what is being fetched. */
export function markActivity(status) {
  const fetched = new Map();
  for (const { sequence_num: number, pieces, failures } of status.fetching ?? []) {
    fetched.set(number, { ranges: [], pieces, failures });
  }
  for (const range of status.in_flight) fetched.get(range.sequence_num)?.ranges.push(range);
  const before = current;
  current = status.session_id === null ? -1 : status.buffer.current_position;
  const wasInFlight = inFlight.has(focused);
  inFlight = fetched;
  if (before !== current && !known.size) return;
  draw();
  if (wasInFlight || inFlight.has(focused)) tellStory(facts(focused), false);
}

function stateOf(sequence) {
  const state = known.get(sequence)?.state ?? UNTOUCHED;
  const open = state !== "held" && state !== "played" && state !== "missing";
  return open && inFlight.has(sequence) ? "flight" : state;
}

function facts(sequence) {
  const chunk = known.get(sequence);
  return { sequence, state: stateOf(sequence), chunk, flight: inFlight.get(sequence), atPlayhead: sequence === current, startSec: startOf(sequence) };
}

/** Return where a chunk begins; of those before it that were never fetched, about. */
function startOf(sequence) {
  let sum = 0;
  let count = 0;
  let before = 0;
  for (const chunk of known.values()) {
    sum += chunk.duration_sec;
    count += 1;
  }
  const usual = count ? sum / count : 0;
  for (let number = 0; number < sequence; number += 1) before += known.get(number)?.duration_sec ?? usual;
  return before;
}

function draw() {
  const strip = byId("chunk-strip");
  const roomy = Math.max(4, Math.floor(strip.clientWidth / CELL_PX));
  const count = Math.min(total, MAX_CELLS, total <= 2 * roomy ? total : roomy);
  // A little of what was played stays in sight.
  const wanted = follows ? current - Math.floor(count / 4) : first;
  first = Math.max(0, Math.min(total - count, wanted));
  if (follows && !strip.contains(document.activeElement)) focused = Math.max(0, Math.min(total - 1, current));
  focused = Math.max(first, Math.min(first + count - 1, focused));
  setVar(strip, "--columns", String(count > roomy ? Math.ceil(count / 2) : Math.max(1, count)));
  while (strip.children.length > count) strip.lastElementChild.remove();
  while (strip.children.length < count) strip.append(makeCell());
  for (let i = 0; i < count; i += 1) drawCell(strip.children[i], first + i);
  let done = 0;
  for (const chunk of known.values()) done += chunk.state === "held" || chunk.state === "played" ? 1 : 0;
  setText("chunk-count", total ? `${done} of ${total} chunks here${count < total ? `; shown below: ${first} to ${first + count - 1}` : ""}` : "");
  byId("chunk-overview").hidden = count >= total;
  if (count < total) drawOverview({ total, current, first, count, known, stateOf });
  drawLegend();
}

function makeCell() {
  return make("li", {}, [make("button", { class: "cell", attributes: { type: "button", tabindex: "-1" } }, [make("span")])]);
}

function drawCell(item, sequence) {
  const cell = item.firstElementChild;
  const chunk = known.get(sequence);
  const flight = inFlight.get(sequence);
  const state = stateOf(sequence);
  const sources = chunk?.sources ?? [];
  cell.dataset.state = state;
  cell.dataset.number = String(sequence);
  const retried = Math.max(chunk?.failures ?? 0, flight?.failures ?? 0);
  if (retried) cell.dataset.retried = String(retried);
  else delete cell.dataset.retried;
  cell.classList.toggle("current", sequence === current);
  cell.tabIndex = sequence === focused ? 0 : -1;
  // Drawn by the style sheet: to a screen reader the label says it in words.
  cell.firstElementChild.dataset.sign = sources.length ? sources.slice(0, 3).map((s) => nodeLetter(s.node_url)).join("") : (SIGNS[state] ?? "");
  const background = state === "flight" ? paintOf(lanesOf(flight, chunk?.size_bytes ?? 0)) : sources.length ? bandsOf(sources) : "";
  if (cell.dataset.paint !== background) {
    cell.dataset.paint = background;
    cell.style.background = background;
  }
  const text = describe(sequence, state, chunk, flight, retried);
  if (cell.getAttribute("aria-label") !== text) cell.setAttribute("aria-label", text);
}

/** Paint a chunk by how much each node delivered. */
function bandsOf(sources) {
  let from = 0;
  const stops = sources.map((source) => {
    const to = from + source.share * 100;
    const stop = `${nodeColour(source.node_url)} ${from.toFixed(1)}% ${to.toFixed(1)}%`;
    from = to;
    return stop;
  });
  return `linear-gradient(to top, ${stops.join(", ")})`;
}

function describe(sequence, state, chunk, flight, retried) {
  const words = { flight: "in flight" }[state] ?? state;
  const parts = [`Chunk ${sequence}, ${words}${sequence === current ? ", at the playhead" : ""}`];
  for (const { node_url: node, share } of chunk?.sources ?? []) {
    parts.push(`${format.percent(share)} from ${nodeLetter(node)} ${format.shortNode(node)}`);
  }
  for (const range of flight?.ranges ?? []) {
    parts.push(`${format.percent(range.progress_ratio)} of a range from ${nodeLetter(range.node_url)} ${format.shortNode(range.node_url)}`);
  }
  if (retried) parts.push(`${retried} failed ${retried === 1 ? "try" : "tries"}`);
  return parts.join(", ");
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
  let all = 0;
  for (const sum of totals.values()) all += sum.bytes;
  reconcile(
    byId("node-legend"),
    [...totals].sort((a, b) => b[1].bytes - a[1].bytes),
    ([url]) => url,
    ([url]) => make("li", {}, [nodeBadge(url), make("span", { class: "strong", text: format.shortNode(url) }), make("span", { class: "muted" })]),
    (item, [, sum]) => setText(item.lastElementChild, `${sum.chunks} ${sum.chunks === 1 ? "chunk" : "chunks"}, ${format.bytes(sum.bytes)} (${format.percent(sum.bytes / (all || 1))})`),
  );
}

/** Look at a chunk: show it, tell its story, and stay there. */
function look(sequence, { focus = false } = {}) {
  if (!total) return;
  focused = Math.max(0, Math.min(total - 1, sequence));
  const count = byId("chunk-strip").children.length;
  follows = focused === current;
  if (focused < first) first = focused;
  if (focused >= first + count) first = focused - count + 1;
  draw();
  if (focus) byId("chunk-strip").children[focused - first]?.firstElementChild.focus();
  tellStory(facts(focused), true);
}

/** Show a chunk's story while it is pointed at or focused; arrow keys walk through the whole film. */
export function watchStrip() {
  const strip = byId("chunk-strip");
  const numberOf = (event) => event.target.closest?.(".cell")?.dataset.number;
  for (const kind of ["focusin", "click"]) {
    strip.addEventListener(kind, (event) => {
      const number = numberOf(event);
      if (number !== undefined && Number(number) !== focused) look(Number(number));
      else if (number !== undefined) tellStory(facts(focused), true);
    });
  }
  strip.addEventListener("pointerover", (event) => {
    const number = numberOf(event);
    if (number !== undefined && event.pointerType === "mouse") tellStory(facts(Number(number)), true);
  });
  strip.addEventListener("pointerleave", () => tellStory(facts(focused), true));
  strip.addEventListener("keydown", (event) => {
    const page = strip.children.length;
    const steps = { ArrowRight: focused + 1, ArrowLeft: focused - 1, ArrowDown: focused + 1, ArrowUp: focused - 1, PageDown: focused + page, PageUp: focused - page, Home: 0, End: total - 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    look(steps[event.key], { focus: true });
  });
  const overview = byId("chunk-overview");
  overview.addEventListener("pointerdown", (event) => look(Math.floor((event.offsetX / overview.clientWidth) * total)));
  new ResizeObserver(() => draw()).observe(strip.parentElement);
}

/** How many chunks and cells the page holds: what must not grow beyond the film. */
export function mapSize() {
  return { chunks: known.size, cells: byId("chunk-strip").children.length };
}
