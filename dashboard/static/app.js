/** The page's life: one event stream, its reconnection, and the controls. */

import { byId, setText } from "./dom.js";
import { applyChunks, markActivity, watchStrip } from "./chunks.js";
import { applyHistory, drawCharts } from "./charts.js";
import { addLogEntry, drawStatus } from "./view.js";

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 10000;

let source = null;
let retryMs = FIRST_RETRY_MS;
let retryTimer = 0;
let lastEventId = "";
let sessionId = "";
let lastStatus = null;

function showConnection(state, text = state) {
  const pill = byId("connection-state");
  pill.dataset.state = state;
  setText(pill, text);
}

function connect() {
  clearTimeout(retryTimer);
  source?.close();
  const query = new URLSearchParams();
  if (sessionId) query.set("session_id", sessionId);
  // The browser repeats the last id only when it reconnects by itself.
  if (lastEventId) query.set("last_event_id", lastEventId);
  source = new EventSource(`/api/events?${query}`);
  source.onopen = () => {
    retryMs = FIRST_RETRY_MS;
    showConnection("live");
  };
  source.onerror = () => {
    showConnection("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return;
    retryTimer = setTimeout(reconnect, retryMs);
    retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
  };
  listen("status", (status) => {
    lastStatus = status;
    drawStatus(status);
    markActivity(status.session_id === null ? -1 : status.buffer.current_position, status.in_flight);
  });
  listen("chunks", applyChunks);
  listen("history", (history) => {
    applyHistory(history);
    const buffer = lastStatus?.buffer;
    if (buffer) drawCharts(buffer.target_buffer_sec, buffer.low_water_mark_sec);
  });
  listen("log", (entry, id) => {
    if (id === lastEventId) return;
    lastEventId = id;
    addLogEntry(entry);
  });
}

function listen(name, handle) {
  source.addEventListener(name, (event) => handle(JSON.parse(event.data), event.lastEventId));
}

/** Reconnect after the server refused: the session that was chosen may be forgotten, or there were too many viewers. */
async function reconnect() {
  try {
    const answer = await fetch(`/api/status?${new URLSearchParams(sessionId ? { session_id: sessionId } : {})}`);
    if (answer.status === 404) {
      sessionId = "";
      byId("session-select").value = "";
    }
  } catch {
    // Not reachable yet; the stream will tell.
  }
  connect();
}

async function control(action) {
  const body = lastStatus?.session_id ? { action, session_id: lastStatus.session_id } : { action };
  setText("control-result", `${action} …`);
  try {
    const answer = await fetch("/api/control", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const result = await answer.json();
    setText("control-result", result.ok ? result.text : `${action}: ${result.error}`);
  } catch {
    setText("control-result", `${action}: the dashboard does not answer`);
  }
}

byId("pause-button").addEventListener("click", (event) => control(event.currentTarget.dataset.action ?? "pause"));
byId("stop-button").addEventListener("click", () => control("stop"));
byId("session-select").addEventListener("change", (event) => {
  sessionId = event.currentTarget.value;
  connect();
});
// A page kept in the back/forward cache must not hold one of the few streams.
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});
watchStrip();
connect();
