/** The card that compares policies: asks for the simulation, and shows it beside what was measured. */

import { byId, make, setText } from "./dom.js";
import * as format from "./format.js";

const POLL_MS = 500;
const HEIGHT_PX = 190;
const NAMES = {
  deadline: ["deadline", "this program: byte ranges from all nodes"],
  score: ["score", "the seed’s: whole chunks from the best score"],
  round_robin: ["round robin", "whole chunks from the holders in turn"],
};
// Dashes tell the lines apart where colours do not; the signs in the table are drawn by the style sheet.
const LINES = {
  measured: { colour: "--muted", width: 4, dash: [] },
  deadline: { colour: "--accent", width: 2, dash: [] },
  score: { colour: "--warn", width: 2, dash: [8, 5] },
  round_robin: { colour: "--bad", width: 2, dash: [2, 4] },
};

let sessionId = "";
let shown = null;
let chart = null;
let timer = 0;
let asked = false;

/** Follow the session that the page shows; what is known of another one is hidden. */
export function compareFor(status) {
  byId("compare-button").disabled = !status.session_id || asked;
  if (status.session_id === sessionId) return;
  sessionId = status.session_id ?? "";
  hide();
  if (sessionId) look();
}

/** Let the button work, and the chart follow the width and the colours of the window. */
export function watchCompare() {
  byId("compare-button").addEventListener("click", start);
  new ResizeObserver(([{ target }]) => chart?.setSize({ width: target.clientWidth, height: HEIGHT_PX })).observe(byId("compare-chart"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

async function start() {
  busy(true);
  say("simulating …");
  try {
    const answer = await fetch("/api/compare", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ session_id: sessionId }),
    });
    if (!answer.ok) {
      say(`Not simulated: ${(await answer.json()).error}.`);
      busy(false);
      return;
    }
    hide(false);
    look();
  } catch {
    say("The dashboard does not answer.");
    busy(false);
  }
}

/** Ask how it stands, again and again while it runs. */
async function look() {
  clearTimeout(timer);
  const wanted = sessionId;
  let found;
  try {
    found = await (await fetch("/api/compare")).json();
  } catch {
    say("The dashboard does not answer.");
    busy(false);
    return;
  }
  if (wanted !== sessionId) return;
  const ours = found.session_id === sessionId;
  busy(ours && found.state === "running");
  if (!ours) return;
  if (found.state === "running") {
    say("simulating …");
    timer = setTimeout(look, POLL_MS);
  } else if (found.state === "failed") {
    say(`Not simulated: ${found.error}.`);
  } else if (found.state === "done") {
    shown = found.result;
    say(`Simulated: ${verdict(shown.policies)}`);
    fill();
  }
}

function busy(is) {
  asked = is;
  byId("compare-button").disabled = is || !sessionId;
}

function say(text) {
  setText("compare-status", text);
}

function hide(quiet = true) {
  clearTimeout(timer);
  shown = null;
  byId("compare-result").hidden = true;
  if (quiet) say("Not simulated yet.");
}

/** Say in a sentence how long a viewer waits under each policy, startup and stalls together. */
function verdict(policies) {
  return `${policies.map((played) => `${NAMES[played.policy][0]} ${waited(played)}`).join(", ")}.`;
}

function waited(played) {
  if (played.outcome !== "played") return "does not play it to its end";
  return `waits ${format.seconds((played.startup_sec ?? 0) + played.stalled_sec)}`;
}

function fill() {
  const { measured, policies } = shown;
  byId("compare-rows").replaceChildren(
    row("measured", `measured: ${NAMES[measured.policy][0]}`, measured.whole ? "what this session was like" : "the last part of this session", measured),
    ...policies.map((played) => row(played.policy, `simulated: ${NAMES[played.policy][0]}`, note(played), played)),
  );
  setText("compare-note", words());
  byId("compare-result").hidden = false;
  draw();
}

function note(played) {
  const about = NAMES[played.policy][1];
  return played.outcome === "played" ? about : `${about}; ${played.outcome}`;
}

function row(key, name, about, figures) {
  const head = make("th", { attributes: { scope: "row" } }, [
    make("i", { class: "line-key", data: { policy: key } }),
    make("span", { text: name }),
    make("small", { class: "muted", text: about }),
  ]);
  const never = key !== "measured" && figures.startup_sec === null;
  const cells = [never ? "never" : format.seconds(figures.startup_sec, 2), String(figures.stalls), format.seconds(figures.stalled_sec)];
  return make("tr", {}, [head, ...cells.map((text) => make("td", { text }))]);
}

/** What the figures are worth, in words. */
function words() {
  const { measured } = shown;
  const told = [
    `A simulation of ${format.clock(shown.film_sec)} of film in ${shown.chunks} chunks from ${shown.nodes} nodes, replayed in virtual time.`,
    `${format.percent(shown.observed_ratio)} of the nodes’ time was measured; a node’s rate while nobody asked it is interpolated from the nearest measurements.`,
    `How close the simulated ${NAMES[measured.policy][0]} comes to what was measured says what the other rows are worth.`,
  ];
  if (!measured.whole) told.push(`Of a long session only the last ${format.clock(shown.span_sec)} are played, beginning with an empty buffer.`);
  if (measured.breaks) told.push(`The session was paused or sought ${measured.breaks === 1 ? "once" : `${measured.breaks} times`}; the simulation plays straight on.`);
  if (!measured.over) told.push("The session had not ended; compare again for the rest of it.");
  return told.join(" ");
}

/** Draw the buffer's level over time, a line for what was measured and one for each policy. */
function draw() {
  if (!shown || !window.uPlot) return;
  const box = byId("compare-chart");
  chart?.destroy();
  box.replaceChildren();
  const lines = [["measured", shown.measured.at_sec.map(Math.round), shown.measured.level_sec]];
  for (const { policy, step_sec: step, level_sec: levels } of shown.policies) lines.push([policy, levels.map((_, i) => i * step), levels]);
  // While a session goes on nobody knows what comes after it: there the simulated film just runs out.
  const until = shown.measured.over ? Math.max(...lines.map(([, at]) => at.at(-1) ?? 0)) : shown.span_sec;
  const tables = lines.map(([, at, levels]) => [at, levels]);
  const data = window.uPlot.join(tables);
  const muted = colour("--muted");
  const font = "12px system-ui, sans-serif";
  const grid = { stroke: colour("--edge"), width: 1 };
  const options = {
    width: box.clientWidth,
    height: HEIGHT_PX,
    padding: [10, 16, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: () => [0, Math.max(1, until)] }, y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.1)] } },
    axes: [
      { stroke: muted, font, grid: { show: false }, ticks: { show: false }, size: 26, space: 60, values: (_, splits) => splits.map(format.clock) },
      { stroke: muted, font, grid, ticks: { show: false }, size: 34, space: 34, values: (_, splits) => splits.map(String) },
    ],
    series: [
      {},
      ...lines.map(([key]) => ({ stroke: colour(LINES[key].colour), width: LINES[key].width, dash: LINES[key].dash, spanGaps: true, points: { show: false } })),
    ],
  };
  chart = new window.uPlot(options, data, box);
  const summary = lines.map(([key, , levels]) => `${key === "measured" ? "measured" : NAMES[key][0]} ${format.seconds(Math.max(...levels))}`);
  box.setAttribute("aria-label", `Buffer level in seconds over time since the command; the highest: ${summary.join(", ")}. The table has the figures.`);
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
