/** The story of one chunk: who delivered which bytes, what was tried in vain, what its checksum said. */

import { byId, make, nodeBadge, nodeLetter, setText } from "./dom.js";
import * as format from "./format.js";
import { lanesOf, paintOf } from "./paint.js";

// Whoever walks along the strip asks for the chunk they stop at.
const SETTLE_MS = 120;
// What changes all the time is asked for again no sooner.
const REFRESH_MS = 1000;
const MAX_LINES = 40;
const ENDINGS = {
  complete: "brought", cancelled: "was stopped early", refused: "refused the connection", silent: "fell silent", broken: "broke off",
  missing: "does not have it", unavailable: "answered with an error", short: "ended early", malformed: "answered nonsense", lost: "was lost with its worker",
};

let shown = null;
let sessionId = "";
let timer = 0;
let askedMs = 0;

/** Say which session the stories are of, and what playing from a position does. */
export function storiesOf(session, canSeek) {
  sessionId = session ?? "";
  byId("story-seek").disabled = !canSeek;
}

export function onStorySeek(handle) {
  byId("story-seek").addEventListener("click", () => shown && handle(shown.startSec));
}

export function forgetStory() {
  shown = null;
  setText("chunk-detail", "Point at a chunk, or move with the arrow keys, to see who delivered it.");
  byId("story-lanes").replaceChildren();
  byId("story-lines").replaceChildren();
  byId("story-seek").hidden = true;
}

/** Tell the story of a chunk that the viewer looks at (`chosen`), or, if it is that one, what is new of it. */
export function tellStory(facts, chosen) {
  if (!chosen && shown?.sequence !== facts.sequence) return;
  const same = shown?.sequence === facts.sequence;
  shown = facts;
  if (!same) say(facts, null);
  const waitMs = same ? Math.max(SETTLE_MS, askedMs + REFRESH_MS - Date.now()) : SETTLE_MS;
  if (same && timer) return;
  clearTimeout(timer);
  timer = setTimeout(ask, waitMs, facts.sequence);
}

async function ask(sequence) {
  timer = 0;
  askedMs = Date.now();
  try {
    const answer = await fetch(`/api/chunks/${sequence}?${new URLSearchParams({ session_id: sessionId })}`);
    if (!answer.ok) return;
    const story = await answer.json();
    if (shown?.sequence === sequence) say(shown, story);
  } catch {
    // The dashboard is away; what the map says stays.
  }
}

function say(facts, story) {
  const state = story?.state === undefined || facts.state === "flight" ? facts.state : story.state;
  const chunk = story ?? facts.chunk;
  const words = { flight: "in flight", untouched: "not asked for yet" }[state] ?? state;
  const parts = [`Chunk ${facts.sequence}: ${words}${facts.atPlayhead ? ", at the playhead" : ""}`];
  if (chunk?.size_bytes) parts.push(`${format.bytes(chunk.size_bytes)}, ${format.seconds(chunk.duration_sec)}`);
  const sources = (chunk?.sources ?? []).map((s) => `${nodeLetter(s.node_url)} ${format.shortNode(s.node_url)} ${format.percent(s.share)}`);
  if (sources.length) parts.push(`from ${sources.join(", ")}`);
  if (story) {
    if (story.ranges.some((range) => range.part >= 0)) parts.push("made of three of five fragments at each byte");
    const verdict = story.verdicts.at(-1);
    if (verdict?.verdict === "delivered") parts.push("checksum matches");
    else if (verdict) parts.push("checksum did not match");
    const failed = story.attempts.filter((a) => !["complete", "cancelled", "lost"].includes(a.outcome)).length;
    if (failed) parts.push(`${failed} failed ${failed === 1 ? "try" : "tries"}`);
  }
  setText("chunk-detail", parts.join(" · "));
  drawLanes(story, chunk?.size_bytes ?? 0);
  drawLines(story);
  byId("story-seek").hidden = false;
}

function drawLanes(story, sizeBytes) {
  const box = byId("story-lanes");
  const lanes = story ? lanesOf({ pieces: story.ranges, ranges: story.in_flight }, sizeBytes) : [];
  const rows = lanes.some((lane) => lane.stretches.length) ? lanes : [];
  while (box.children.length > rows.length) box.lastElementChild.remove();
  while (box.children.length < rows.length) box.append(make("div", { class: "lane-row" }, [make("span", { class: "muted small" }), make("div", { class: "lane" })]));
  for (const [i, lane] of rows.entries()) {
    const [name, bar] = box.children[i].children;
    setText(name, lane.part < 0 ? "bytes" : lane.part < 3 ? `fragment ${lane.part}` : `parity ${lane.part}`);
    bar.style.background = lane.stretches.length ? `${paintOf([lane])}, var(--track)` : "";
    const letters = lane.stretches.filter((s) => s.held && (s.to - s.from) / lane.length > 0.06);
    bar.replaceChildren(...letters.map((s) => {
      const letter = make("i", { text: nodeLetter(s.url) });
      letter.style.left = `${(((s.from + s.to) / 2 / lane.length) * 100).toFixed(1)}%`;
      return letter;
    }));
  }
}

function drawLines(story) {
  const lines = [];
  for (const range of story?.in_flight ?? []) {
    lines.push(line(range.node_url, `is sending ${bytesOf(range.part, range.start_bytes, range.end_bytes)}, ${format.percent(range.progress_ratio)} here (worker ${range.worker_id})`));
  }
  for (const verdict of [...(story?.verdicts ?? [])].reverse()) lines.push(verdictLine(verdict));
  for (const attempt of [...(story?.attempts ?? [])].reverse()) lines.push(attemptLine(attempt));
  if (story?.attempts_left_out) lines.push(make("li", { class: "muted", text: `and ${story.attempts_left_out} earlier tries` }));
  if (story && !lines.length && story.sources?.length) lines.push(make("li", { class: "muted", text: "Nobody listened when it was fetched, or it was long ago: only the shares above are known." }));
  byId("story-lines").replaceChildren(...lines.slice(0, MAX_LINES));
}

function attemptLine(attempt) {
  const came = attempt.received_until_bytes - attempt.start_bytes;
  const asked = attempt.end_bytes - attempt.start_bytes;
  const place = bytesOf(attempt.part, attempt.start_bytes, attempt.end_bytes);
  if (attempt.outcome === "complete") return line(attempt.node_url, `brought ${place}`, attempt.at_unix_sec);
  const ending = ENDINGS[attempt.outcome] ?? attempt.outcome;
  const much = came > 0 ? ` after ${format.bytes(came)} of ${format.bytes(asked)}` : "";
  return line(attempt.node_url, `${ending}${much}, asked for ${place}`, attempt.at_unix_sec, !["cancelled", "lost"].includes(attempt.outcome));
}

function verdictLine(verdict) {
  const whole = verdict.corrupt_part < 0 ? "the chunk" : `fragment ${verdict.corrupt_part}`;
  if (verdict.verdict === "delivered") return line("", `✓ SHA-256 matches: delivered by worker ${verdict.worker_id}`, verdict.at_unix_sec);
  const who = verdict.suspect_url ? `${verdict.certain ? "wrong bytes from" : "perhaps wrong bytes from"} ${nodeLetter(verdict.suspect_url)} ${format.shortNode(verdict.suspect_url)}, fetched again` : "all of it is fetched again";
  return line("", `✕ SHA-256 of ${whole} does not match: ${who}`, verdict.at_unix_sec, true);
}

function line(url, text, atUnixSec, bad = false) {
  const parts = [make("time", { class: "muted", text: atUnixSec ? format.timeOfDay(atUnixSec) : "now" })];
  if (url) parts.push(nodeBadge(url));
  parts.push(make("span", { class: bad ? "bad" : "", text: url ? `${format.shortNode(url)} ${text}` : text }));
  return make("li", {}, parts);
}

function bytesOf(part, from, to) {
  const place = `bytes ${from.toLocaleString("en")} to ${to.toLocaleString("en")}`;
  return part < 0 ? place : `${place} of ${part < 3 ? "fragment" : "parity"} ${part}`;
}
