/** Draws a status message into the page. */

import { byId, make, nodeBadge, nodeColour, nodeIndex, reconcile, setText, setVar } from "./dom.js";
import * as format from "./format.js";
import { rateNow } from "./history.js";
import { drawNodes } from "./nodes.js";

const STATE_SIGNS = {
  idle: "○", startup: "◔", playing: "▶", rebuffering: "↻", paused: "‖", seeking: "»", ended: "■", failed: "✕",
};
const MAX_LOG_ENTRIES = 200;
// More of them only flicker.
const MAX_FLIGHTS = 10;

export function drawStatus(status) {
  const hasSession = status.session_id !== null;
  const hasStack = status.stack.running || Object.keys(status.network_stats).length > 0;
  document.body.classList.toggle("recording", Boolean(status.recording));
  byId("empty-state").hidden = hasSession;
  byId("session-view").hidden = !hasSession;
  byId("stack-view").hidden = !hasSession && !hasStack;
  for (const url of [...status.node_urls, ...Object.keys(status.network_stats)]) nodeIndex(url);
  drawNotice(status, hasSession);
  drawSessions(status);
  drawRoles(status);
  if (hasSession) {
    drawBuffer(status);
    drawPlayback(status);
    drawTargets(status.targets);
  }
  drawNodes(Object.values(status.network_stats));
  drawDownloads(status);
}

function drawNotice(status, hasSession) {
  let text = "";
  if (status.recording) {
    text = status.recording;
    setText("connection-state", "recording");
  } else if (hasSession && !status.stack.running) text = "The stack is not running any more; this is what was last known of it.";
  else if (status.message) text = status.message;
  setText("notice", text);
  byId("notice").hidden = !text;
}

function drawSessions(status) {
  const shown = status.title || status.video_id || "";
  setText("video-title", shown);
  document.title = shown ? `${STATE_SIGNS[status.state] ?? ""} ${shown} · V-Stack` : "V-Stack";
  byId("session-choice").hidden = status.sessions.length < 2;
  const entries = [{ session_id: "", text: "newest session" }].concat(
    status.sessions.map((s) => ({
      session_id: s.session_id,
      text: `${s.title || s.video_id} · ${s.live ? s.state : s.outcome || "lost"} · ${format.timeOfDay(s.started_unix_sec)}`,
    })),
  );
  reconcile(
    byId("session-select"),
    entries,
    (entry) => entry.session_id,
    (entry) => make("option", { attributes: { value: entry.session_id } }),
    (option, entry) => setText(option, entry.text),
  );
}

function drawRoles(status) {
  const roles = ["monitor", "scheduler", "buffer"].map((role) => `${role} ${status.stack[role] ? "✓ up" : "✕ down"}`);
  setText("stack-roles", status.recording ? "a recording: no stack is watched" : roles.join(" · "));
}

function drawBuffer(status) {
  const buffer = status.buffer;
  const scale = Math.max(buffer.target_buffer_sec * 1.15, buffer.buffer_level_sec, 1);
  const share = (sec) => `${Math.min(100, (sec / scale) * 100).toFixed(2)}%`;
  setText("buffer-level", format.number(buffer.buffer_level_sec));
  setText("buffer-health", `${Math.round(buffer.buffer_health_percent)} %`);
  setText("buffer-state", buffer.state);
  const bar = byId("buffer-bar");
  bar.dataset.state = buffer.state;
  bar.setAttribute("aria-valuemax", scale.toFixed(0));
  bar.setAttribute("aria-valuenow", buffer.buffer_level_sec.toFixed(1));
  bar.setAttribute("aria-valuetext", `${buffer.buffer_level_sec.toFixed(0)} seconds, ${buffer.state}`);
  setVar(bar, "--fill", share(buffer.buffer_level_sec));
  setVar(bar, "--low", share(buffer.low_water_mark_sec));
  setVar(bar, "--target", share(buffer.target_buffer_sec));
  setText("low-label", `low water ${format.number(buffer.low_water_mark_sec, 0)} s`);
  setText("target-label", `target ${format.number(buffer.target_buffer_sec, 0)} s`);

  const duration = Math.max(buffer.duration_sec, 0.001);
  const timeline = byId("timeline-played").parentElement;
  setVar(timeline, "--played", `${Math.min(100, (buffer.playhead_sec / duration) * 100).toFixed(2)}%`);
  setVar(timeline, "--held", `${Math.min(100, ((buffer.playhead_sec + buffer.buffer_level_sec) / duration) * 100).toFixed(2)}%`);
  setText("playhead", format.clock(buffer.playhead_sec));
  const seek = byId("seek");
  seek.max = String(Math.ceil(duration));
  seek.disabled = !(status.live && status.stack.running);
  // Whoever drags it, or walks with keys, is not to be pulled back.
  if (!seek.dataset.held) seek.value = String(Math.floor(buffer.playhead_sec));
  seek.setAttribute("aria-valuetext", `${format.clock(Number(seek.value))} of ${format.clock(buffer.duration_sec)}`);
  setText("duration", `${buffer.duration_known ? "" : "about "}${format.clock(buffer.duration_sec)}`);

  const badge = byId("playback-state");
  const shown = status.live ? status.state : status.outcome || "lost";
  badge.dataset.state = status.live ? status.state : "over";
  setText(badge, `${STATE_SIGNS[status.state] ?? ""} ${shown}`);
  const pause = byId("pause-button");
  const paused = status.state === "paused";
  pause.dataset.action = paused ? "resume" : "pause";
  setText(pause, paused ? "Resume" : "Pause");
  for (const id of ["pause-button", "stop-button"]) {
    byId(id).disabled = !(status.live && status.stack.running);
    byId(id).title = status.recording && "A recording can be watched, not controlled.";
  }
}

function drawPlayback(status) {
  const stats = status.buffer_stats;
  const traffic = status.scheduler_stats;
  setText("startup-latency", format.seconds(status.startup_latency, 2));
  setText("rebuffering-events", stats.rebuffering_events ? `${stats.rebuffering_events} (${format.seconds(stats.stalled_sec)})` : "none");
  setText("rate-now", status.live ? format.megabits(rateNow()) : "–");
  const longest = stats.longest_stall_sec ? `, longest ${format.seconds(stats.longest_stall_sec)}` : "";
  setText("stalled-sec", `${format.seconds(stats.stalled_sec)}${longest}`);
  const missing = stats.missing_chunks ? `, ${stats.missing_chunks} missing` : "";
  setText("chunks-played", `${stats.total_chunks_played} of ${stats.total_chunks}${missing}`);
  setText("average-buffer", format.seconds(stats.playback_started ? stats.average_buffer_level : null));
  const extra = traffic.needed_bytes ? Math.max(0, traffic.received_bytes / traffic.needed_bytes - 1) : null;
  setText("extra-bytes", status.in_flight.length && extra > 0.2 ? "–" : format.percent(extra, 1));
  setText("received-bytes", format.bytes(traffic.received_bytes));
  setText("needed-bytes", format.bytes(traffic.needed_bytes));
}

function drawTargets(targets) {
  reconcile(
    byId("targets"),
    targets,
    (target) => target.name,
    (target) => make("li", {}, [
      make("span", { class: "verdict" }),
      make("span", {}, [make("span", { text: target.label }), make("small", { class: "muted", text: ` ${target.target}` })]),
      make("span", { class: "value" }),
    ]),
    (item, target) => {
      const verdict = target.met === null ? "unknown" : target.met ? "met" : "missed";
      item.dataset.verdict = verdict;
      setText(item.children[0], { met: "✓ met", missed: "✕ missed", unknown: "– open" }[verdict]);
      const digits = target.unit === "s" ? 2 : 0;
      setText(item.children[2], target.value === null ? "–" : `${target.value.toFixed(digits)}${target.unit ? ` ${target.unit}` : ""}`);
    },
  );
}

function drawDownloads(status) {
  const stats = status.scheduler_stats;
  setText("total-downloads", stats.failed_downloads ? `${stats.total_downloads} (${stats.failed_downloads} failed)` : stats.total_downloads);
  setText("success-rate", stats.total_downloads ? format.percent(stats.success_rate, 1) : "–");
  setText("failovers", stats.failover_count);
  setText("active-downloads", stats.active_downloads);
  const flights = status.in_flight.length ? status.in_flight.slice(0, MAX_FLIGHTS) : [null];
  reconcile(
    byId("in-flight"),
    flights,
    (range) => (range ? `${range.chunk_id}/${range.part}/${range.start_bytes}/${range.node_url}` : "none"),
    (range) => (range
      ? make("li", {}, [nodeBadge(range.node_url), make("span", { class: "what" }), make("span", { class: "bar" }), make("span", { class: "value" })])
      : make("li", { class: "muted", text: "nothing is being fetched" })),
    (item, range) => {
      if (!range) return;
      const part = range.part >= 0 ? `, ${range.part < 3 ? "fragment" : "parity"} ${range.part}` : "";
      setText(item.children[1], `chunk ${range.sequence_num}${part}, ${format.bytes(range.end_bytes - range.start_bytes)}`);
      setVar(item.children[2], "--share", `${(range.progress_ratio * 100).toFixed(1)}%`);
      setVar(item.children[2], "--colour", nodeColour(range.node_url));
      setText(item.children[3], format.percent(range.progress_ratio));
    },
  );
  const workers = status.workers.length ? status.workers : [null];
  reconcile(
    byId("workers"),
    workers,
    (worker) => worker?.worker_id ?? "none",
    (worker) => (worker ? make("li", {}, [make("span", { class: "strong", text: worker.worker_id }), make("span", { class: "muted" })]) : make("li", { class: "muted", text: "no worker is known" })),
    (item, worker) => {
      if (!worker) return;
      const silent = worker.silent_sec > 2 ? `, silent for ${worker.silent_sec.toFixed(0)} s` : "";
      setText(item.lastElementChild, `${worker.busy} of ${worker.slots} slots busy, ${format.bytes(worker.received_bytes)}, pid ${worker.pid}${silent}`);
    },
  );
}

/** Put a log entry on top of the list. */
export function addLogEntry(entry) {
  const log = byId("event-log");
  log.prepend(make("li", { data: { kind: entry.kind } }, [
    make("time", { text: format.timeOfDay(entry.at_unix_sec) }),
    make("span", { class: "kind", text: entry.kind }),
    make("span", { text: entry.text }),
  ]));
  while (log.children.length > MAX_LOG_ENTRIES) log.lastElementChild.remove();
}
