/** The last hour as columns, one sample a second: what the charts and sparklines draw. Bounded however long the page is open. */

export const HOUR_SEC = 3600;
// Cut off in one go once in a while: moving an hour of numbers each second would be work for nothing.
const SLACK = 60;
// A gap this long is no line: nothing was playing.
const GAP_SEC = 3;

const at = [];
const state = [];
const level = [];
const mbps = new Map();
const score = new Map();

/** Take the columns of a history event; `reset` begins anew. */
export function applyHistory(message) {
  if (message.reset) {
    for (const column of [at, state, level]) column.length = 0;
    mbps.clear();
    score.clear();
  }
  const before = at.length;
  for (const offset of message.at_sec) at.push(message.from_unix_sec + offset);
  state.push(...message.state);
  level.push(...message.level_sec);
  extend(mbps, message.mbps, before, 0);
  extend(score, message.score, before, null);
  trim();
}

function extend(columns, added, before, nothing) {
  for (const [url, values] of Object.entries(added)) {
    if (!columns.has(url)) columns.set(url, new Array(before).fill(nothing));
    columns.get(url).push(...values);
  }
  // A node of which nothing was said.
  for (const values of columns.values()) while (values.length < at.length) values.push(nothing);
}

function trim() {
  const extra = at.length - HOUR_SEC;
  if (extra < SLACK) return;
  for (const column of [at, state, level, ...mbps.values(), ...score.values()]) column.splice(0, extra);
  for (const columns of [mbps, score]) {
    for (const [url, values] of columns) if (values.every((value) => !value)) columns.delete(url);
  }
}

/** How many samples and columns are held: what must not grow. */
export function historySize() {
  return { samples: at.length, columns: 3 + mbps.size + score.size };
}

/** Return the samples of the last `spanSec`, with an empty one where nothing played for a while. */
export function spanOf(spanSec) {
  const newest = at.at(-1) ?? 0;
  let first = at.length;
  while (first > 0 && at[first - 1] > newest - spanSec) first -= 1;
  const picks = [];
  for (let i = first; i < at.length; i += 1) {
    if (i > first && at[i] - at[i - 1] > GAP_SEC) picks.push(-i);
    picks.push(i);
  }
  const pick = (column) => picks.map((i) => (i < 0 ? null : column[i]));
  return {
    newest,
    at: picks.map((i) => (i < 0 ? (at[-i] + at[-i - 1]) / 2 : at[i])),
    state: pick(state),
    level: pick(level),
    nodes: [...mbps.keys()],
    rate: (url) => pick(mbps.get(url)),
  };
}

/** Return the newest values of one node, oldest first: `kind` is "mbps" or "score". */
export function tailOf(kind, url, count) {
  return (kind === "mbps" ? mbps : score).get(url)?.slice(-count) ?? [];
}

/** What all nodes delivered in the last second; null before the first. */
export function rateNow() {
  if (!at.length) return null;
  let sum = 0;
  for (const values of mbps.values()) sum += values.at(-1) ?? 0;
  return sum;
}
