/** The page's life: one event stream, its reconnection, and the controls. */

import { byId, make, reconcile, setText } from "./dom.js";
import { clock } from "./format.js";
import { drawCharts, watchCharts } from "./charts.js";
import { applyChunks, markActivity, watchStrip } from "./chunks.js";
import { compareFor, watchCompare } from "./compare.js";
import { applyHistory } from "./history.js";
import { drawSparks } from "./nodes.js";
import { followStatus, moveTo, startVideo } from "./player.js";
import { onStorySeek, storiesOf } from "./story.js";
import { addLogEntry, drawStatus } from "./view.js";

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 10000;

let source = null;
let retryMs = FIRST_RETRY_MS;
let retryTimer = 0;
let lastEventId = "";
// A player that opens this page says which session it is to show.
let sessionId = new URLSearchParams(location.search).get("session") ?? "";
let lastStatus = null;
let hasVideos = false;

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
    offerVideos();
    drawStatus(status);
    followStatus(status);
    storiesOf(status.session_id, status.live && status.stack.running);
    markActivity(status);
    compareFor(status);
  });
  listen("chunks", applyChunks);
  listen("history", (history) => {
    applyHistory(history);
    drawCharts(lastStatus?.buffer);
    drawSparks();
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

/** Send a command; the words of its outcome go where `result` says. */
async function send(body, result) {
  setText(result, `${body.action} …`);
  try {
    const answer = await fetch("/api/control", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const outcome = await answer.json();
    setText(result, outcome.ok ? outcome.text : `${body.action}: ${outcome.error}`);
    return outcome;
  } catch {
    setText(result, `${body.action}: the dashboard does not answer`);
    return null;
  }
}

function control(action) {
  return send(lastStatus?.session_id ? { action, session_id: lastStatus.session_id } : { action }, "control-result");
}

/** Move the playhead: of the player in this page, or of whatever plays elsewhere. */
function seekTo(positionSec) {
  if (moveTo(positionSec)) return;
  send({ action: "seek", position_sec: positionSec, session_id: lastStatus.session_id }, "control-result");
}

/** Show the choice of videos where there are any, and they can be played. */
function offerVideos() {
  byId("choose-form").hidden = !hasVideos || Boolean(lastStatus?.recording);
}

/** Fill the choice of videos from the store; without a store there is none. */
async function loadVideos() {
  let videos = [];
  try {
    const answer = await fetch("/api/videos");
    if (answer.ok) videos = (await answer.json()).videos;
  } catch {
    // The dashboard is away; the next time will do.
  }
  hasVideos = videos.length > 0;
  offerVideos();
  reconcile(
    byId("video-select"),
    videos.filter((video) => video.status !== "deleted"),
    (video) => video.video_id,
    (video) => make("option", { attributes: { value: video.video_id } }),
    (option, video) => setText(option, `${video.title || video.video_id} (${clock(video.duration_sec)})`),
  );
}

/** Return the seconds in `1:02:03`, `2:03` or `3`. */
function secondsOf(text) {
  return text.split(":").reduce((sum, part) => sum * 60 + Number(part || 0), 0);
}

byId("choose-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const started = await startVideo(byId("video-select").value, secondsOf(byId("start-at").value.trim()), (body) => send(body, "choose-result"));
  if (!started) return;
  sessionId = "";
  connect();
});
byId("video-select").addEventListener("focus", loadVideos);
byId("pause-button").addEventListener("click", (event) => control(event.currentTarget.dataset.action ?? "pause"));
byId("stop-button").addEventListener("click", () => control("stop"));
byId("seek").addEventListener("input", (event) => {
  event.currentTarget.dataset.held = "1";
  setText("playhead", clock(Number(event.currentTarget.value)));
});
byId("seek").addEventListener("change", (event) => {
  delete event.currentTarget.dataset.held;
  seekTo(Number(event.currentTarget.value));
});
onStorySeek(seekTo);
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
watchCharts();
watchCompare();
loadVideos();
connect();
