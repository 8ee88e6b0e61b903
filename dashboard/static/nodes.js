/** The list of nodes: state, score, what it is made of, and what each delivered lately. */

import { byId, make, nodeBadge, nodeColour, reconcile, setText, setVar } from "./dom.js";
import * as format from "./format.js";
import { tailOf } from "./history.js";

const SPARK_SEC = 300;
const SPARK = { width: 120, height: 26 };
const SVG = "http://www.w3.org/2000/svg";
const HEADS = ["Node", "State", "Score", "Latency", "Bandwidth", "Reliability", "Ranges", "Last 5 min"];

export function drawNodes(nodes) {
  const best = Math.max(...nodes.map((node) => node.score ?? 0), 1e-9);
  reconcile(byId("node-rows"), nodes, (node) => node.node_url, makeRow, (row, node) => {
    const [, state, score, latency, bandwidth, reliability, ranges] = row.children;
    const [kind, text] = stateOf(node);
    state.firstElementChild.dataset.state = kind;
    setText(state.firstElementChild, text);
    setText(score.firstElementChild, format.number(node.score, 2));
    setVar(score.lastElementChild, "--share", `${(((node.score ?? 0) / best) * 100).toFixed(1)}%`);
    setText(latency.firstElementChild, format.milliseconds(node.latency_ms.current));
    const { min, max } = node.latency_ms;
    setText(latency.lastElementChild, min === null ? "" : `${format.milliseconds(min)} to ${format.milliseconds(max)}`);
    setText(bandwidth.firstElementChild, format.megabits(node.bandwidth_mbps.current ?? node.rate_mbps));
    setText(bandwidth.lastElementChild, node.accepts_ranges === false ? "no Range" : node.active_ranges ? `${node.active_ranges} in flight` : "idle");
    setText(reliability.firstElementChild, format.percent(node.success_rate));
    setText(reliability.lastElementChild, node.measurements_count ? `of ${node.measurements_count} measured` : "");
    setText(ranges.firstElementChild, `${node.completed_ranges} done`);
    setText(ranges.lastElementChild, `${node.failed_ranges ? `${node.failed_ranges} failed, ` : ""}${format.bytes(node.received_bytes)}`);
  });
}

function makeRow(node) {
  const url = node.node_url;
  const two = (name) => make("td", { data: { head: name } }, [make("span", { class: "value" }), make("small", { class: "muted" })]);
  const score = make("td", { data: { head: "Score" } }, [make("span", { class: "value" }), make("span", { class: "bar" })]);
  setVar(score.lastElementChild, "--colour", nodeColour(url));
  return make("tr", {}, [
    make("th", { attributes: { scope: "row" } }, [nodeBadge(url), make("span", { text: format.shortNode(url) })]),
    make("td", { data: { head: "State" } }, [make("span", { class: "state" })]),
    score,
    ...HEADS.slice(3, 7).map(two),
    make("td", { class: "spark-cell", data: { head: "Last 5 min" } }, [makeSpark(url)]),
  ]);
}

function makeSpark(url) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 -2 ${SPARK.width} ${SPARK.height + 4}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "delivered nothing yet");
  for (const name of ["area", "line", "score"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  setVar(svg, "--colour", nodeColour(url));
  return svg;
}

/** Draw each node's last minutes: the filled line is what it delivered, the thin one its score. */
export function drawSparks() {
  if (document.hidden) return;
  const rows = [...byId("node-rows").children];
  const tails = rows.map((row) => tailOf("mbps", row.dataset.key, SPARK_SEC));
  const scores = rows.map((row) => tailOf("score", row.dataset.key, SPARK_SEC));
  const top = Math.max(0, ...tails.flat());
  const best = Math.max(0, ...scores.flat().map((value) => value ?? 0));
  rows.forEach((row, i) => {
    const svg = row.lastElementChild.firstElementChild;
    const line = format.sparkPath(tails[i], SPARK.width, SPARK.height, top);
    svg.children[0].setAttribute("d", line && `${line}L${SPARK.width} ${SPARK.height}L0 ${SPARK.height}Z`);
    svg.children[1].setAttribute("d", line);
    svg.children[2].setAttribute("d", format.sparkPath(scores[i], SPARK.width, SPARK.height, best));
    const peak = Math.max(0, ...tails[i]);
    svg.setAttribute("aria-label", `delivered ${format.megabits(tails[i].at(-1) ?? 0)} now, at most ${format.megabits(peak)}; score now ${format.number(scores[i].at(-1), 1)}`);
  });
}

function stateOf(node) {
  if (node.breaker === "open") return ["suspended", `‖ suspended, ${Math.ceil(node.suspended_for_sec)} s left`];
  if (node.breaker === "half_open") return ["probing", "◔ probing"];
  if (node.healthy === null) return ["unknown", "– not rated"];
  return node.healthy ? ["healthy", "✓ healthy"] : ["unhealthy", "✕ unhealthy"];
}
