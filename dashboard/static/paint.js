/** Byte positions of a chunk as layers of paint: one lane for a chunk, one for each fragment of a coded one. */

import { nodeColour } from "./dom.js";

const DATA_FRAGMENTS = 3;
const FRAGMENTS = 5;

/** Return the lanes of a chunk: each with the stretches that are held, and those that are under way. */
export function lanesOf(chunk, sizeBytes) {
  const ranges = chunk?.ranges ?? [];
  const pieces = (chunk?.pieces ?? []).map((piece) => (Array.isArray(piece)
    ? { part: piece[0], from: piece[1], to: piece[2], url: piece[3] }
    : { part: piece.part, from: piece.start_bytes, to: piece.end_bytes, url: piece.node_url }));
  const coded = [...pieces, ...ranges].some((range) => range.part >= 0);
  // Fragments are a third of the chunk, rounded up; what is told may only make them longer.
  let length = coded ? Math.ceil(sizeBytes / DATA_FRAGMENTS) : sizeBytes;
  for (const piece of pieces) length = Math.max(length, piece.to);
  for (const range of ranges) length = Math.max(length, range.end_bytes);
  const parts = coded ? Array.from({ length: FRAGMENTS }, (_, part) => part) : [-1];
  return parts.map((part) => ({
    part,
    length: Math.max(1, length),
    stretches: [
      ...pieces.filter((piece) => piece.part === part).map((piece) => ({ ...piece, held: true })),
      ...ranges.filter((range) => range.part === part).flatMap((range) => [
        { from: range.start_bytes, to: range.received_until_bytes, url: range.node_url, held: true },
        { from: range.received_until_bytes, to: range.end_bytes, url: range.node_url, held: false },
      ]),
    ].filter((stretch) => stretch.to > stretch.from),
  }));
}

/** Return a CSS background: every stretch at its place, what is still to come paler. */
export function paintOf(lanes) {
  const layers = [];
  for (const [row, { length, stretches }] of lanes.entries()) {
    const y = lanes.length > 1 ? `${(row / (lanes.length - 1)) * 100}%` : "0%";
    const height = `${100 / lanes.length}%`;
    for (const { from, to, url, held } of [...stretches].sort((a, b) => Number(b.held) - Number(a.held))) {
      const wide = Math.min(1, (to - from) / length);
      const x = wide < 1 ? Math.min(1, from / length / (1 - wide)) : 0;
      const colour = held ? nodeColour(url) : `color-mix(in srgb, ${nodeColour(url)} 38%, transparent)`;
      layers.push(`linear-gradient(${colour}, ${colour}) ${(x * 100).toFixed(1)}% ${y} / ${(wide * 100).toFixed(1)}% ${height} no-repeat`);
    }
  }
  return layers.join(", ");
}
