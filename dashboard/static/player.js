/** The film in the page: hls.js plays it, and what it shows is told to the buffer, whose playhead it is. */

import { byId, make, setText } from "./dom.js";
import * as format from "./format.js";

const REPORT_MS = 1000;
// The same after a reload: the playhead stays with this page.
const viewerId = sessionStorage.getItem("viewer") ?? Math.random().toString(36).slice(2, 14);
sessionStorage.setItem("viewer", viewerId);
const film = byId("film");
// How the stream says that a chunk is skipped.
const GIVEN_UP = 410;
// Behind a hole by so much, for what follows it begins a little late.
const HOLE_MARGIN_SEC = 0.05;
// Pictures end a little before the hole does that they lead to.
const HOLE_REACH_SEC = 0.5;

let hls = null;
let watched = "";
let started = false;
let waits = false;
let wishSerial = -1;
let lastError = "";
let recovered = false;
let status = null;
/** Stretches of the film that nobody has: the playhead goes over them. */
let holes = [];
/** A start that was asked for in this page: session and position. */
let asked = null;

const HLS_OPTIONS = {
  // Segments need no repackaging: a worker would only cost a moment and a hole in the content security policy.
  enableWorker: false,
  maxBufferLength: 30,
  maxMaxBufferLength: 30,
  backBufferLength: 60,
  // A segment that is not there yet is waited for at the other end, which knows better than a timer when to give up.
  fragLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 85000,
      maxLoadTimeMs: 120000,
      timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: {
        maxNumRetry: 20,
        retryDelayMs: 500,
        maxRetryDelayMs: 4000,
        // What the session has given up does not come, however often it is asked for.
        shouldRetry: (_policy, _count, _late, answer, retry) => retry && answer?.code !== GIVEN_UP,
      },
    },
  },
};

function say(text) {
  setText("film-note", text);
  byId("film-note").hidden = !text;
}

/** Draw what a status message means for the player, and obey what was asked of it elsewhere. */
export function followStatus(next) {
  status = next;
  const player = status.player;
  const watchable = !status.recording && status.live && status.stack.running && Boolean(player?.stream_url);
  if (watched && watched !== status.session_id) detach();
  byId("watch-button").hidden = !(watchable && watched !== status.session_id && status.output !== "stream");
  if (watched === status.session_id) {
    obey(player.wish);
    if (!status.live) standStill();
  } else if (watchable && status.output === "stream" && player.followed && player.viewer_id !== viewerId) {
    say(`${status.title} plays in another player.`);
  } else if (watchable && status.output === "stream") {
    attach(status.session_id, asked?.sessionId === status.session_id ? asked.positionSec : status.buffer.playhead_sec);
  } else if (watchable) {
    say(`${status.title} plays without a picture. Watch it here, and the playhead is yours.`);
  } else if (status.session_id && status.live && !player.stream_url) {
    say(status.output === "none" || status.output === "stream" ? "The film is getting ready…" : `This session plays to ${status.output}; it cannot be watched here.`);
  } else {
    say(status.session_id ? "This session is over." : "");
  }
}

function obey(wish) {
  if (wish.serial <= wishSerial) return;
  wishSerial = wish.serial;
  if (wish.position_sec !== null && Math.abs(wish.position_sec - film.currentTime) > 0.25) film.currentTime = wish.position_sec;
  if (wish.paused && !film.paused) film.pause();
  else if (!wish.paused && film.paused) play();
}

export function attach(sessionId, positionSec) {
  detach();
  watched = sessionId;
  started = recovered = waits = false;
  holes = [];
  wishSerial = status?.player?.wish.serial ?? 0;
  lastError = "";
  film.dataset.errors = "0";
  film.dataset.stalls = "0";
  say("");
  byId("watch-button").hidden = true;
  if (!window.Hls) {
    say("The player's library is missing; the notice above says how to get it.");
    return;
  }
  if (!window.Hls.isSupported()) {
    say("This browser has no Media Source Extensions; open the stream's address in a player instead.");
    return;
  }
  // The buffer is told first: whoever only asks for segments is taken to show them.
  tell("waiting", positionSec).finally(() => {
    if (watched !== sessionId) return;
    hls = new window.Hls({ ...HLS_OPTIONS, startPosition: positionSec });
    hls.on(window.Hls.Events.ERROR, onError);
    hls.on(window.Hls.Events.MANIFEST_PARSED, play);
    hls.loadSource(`/stream/${encodeURIComponent(sessionId)}/film.m3u8`);
    hls.attachMedia(film);
  });
}

function detach() {
  hls?.destroy();
  hls = null;
  watched = "";
}

function standStill() {
  hls?.stopLoad();
  if (film.ended || !started) return;
  film.pause();
}

async function play() {
  try {
    await film.play();
    say("");
  } catch (error) {
    if (error.name === "NotAllowedError") say("Press play: this browser starts no film by itself.");
  }
}

/** Note that a segment will never come, and go on with what follows it. */
function passOver(fragment) {
  const hole = { from: fragment.start, to: fragment.start + fragment.duration };
  if (!holes.some((known) => known.from === hole.from)) holes.push(hole);
  film.dataset.holes = String(holes.length);
  fragment.gap = true;
  hls.startLoad(hole.to + HOLE_MARGIN_SEC);
  leap();
}

/** Leave the hole that the playhead has come to, if it has come to one. */
function leap() {
  const at = film.currentTime;
  const hole = holes.find(({ from, to }) => at >= from - HOLE_REACH_SEC && at < to);
  const plays = !film.seeking && film.readyState > HTMLMediaElement.HAVE_CURRENT_DATA;
  if (!hole || plays) return;
  if (hole.to + HOLE_MARGIN_SEC >= film.duration) {
    // Nothing follows.
    film.currentTime = film.duration;
    return;
  }
  film.currentTime = hole.to + HOLE_MARGIN_SEC;
}

function onError(_, data) {
  film.dataset.errors = String(Number(film.dataset.errors) + 1);
  const codecs = /codec/i.test(data.details);
  lastError = codecs ? `this browser cannot play the film's codec: ${data.mimeType ?? data.error?.message ?? data.details}` : `${data.details}${data.fatal ? " (fatal)" : ""}`;
  byId("film-errors").prepend(make("li", { text: `${format.clock(film.currentTime)} ${lastError}` }));
  while (byId("film-errors").children.length > 20) byId("film-errors").lastElementChild.remove();
  if (data.response?.code === GIVEN_UP && data.frag) {
    passOver(data.frag);
    report();
    return;
  }
  if (!data.fatal) return;
  if (codecs) say(`This film cannot be shown here: ${lastError}. Open ${status.player.stream_url} in mpv or VLC.`);
  else if (data.type === window.Hls.ErrorTypes.NETWORK_ERROR) setTimeout(() => hls?.startLoad(), 1000);
  else if (data.type === window.Hls.ErrorTypes.MEDIA_ERROR && !recovered) {
    recovered = true;
    hls.recoverMediaError();
  } else say(`The player gave up: ${lastError}`);
  report();
}

function shownState() {
  if (film.ended) return "ended";
  if (film.seeking) return "seeking";
  if (film.paused) return "paused";
  return waits ? "waiting" : "playing";
}

function tell(state, positionSec) {
  return fetch("/api/viewer", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    keepalive: true,
    body: JSON.stringify({
      session_id: watched,
      viewer_id: viewerId,
      state,
      position_sec: positionSec,
      rate_ratio: film.playbackRate,
      dropped_frames: film.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0,
      error: lastError.slice(0, 300),
    }),
  }).catch(() => {
    // The dashboard is away; the film goes on from what the player holds.
  });
}

function report() {
  if (!hls || !watched || (status && !status.live)) return;
  if (!started && film.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
  tell(shownState(), film.currentTime);
}

/** Start a video of the store in this page. */
export async function startVideo(videoId, positionSec, control) {
  const before = watched && status?.output === "stream" ? watched : "";
  const result = await control({ action: "play", video_id: videoId, output: "stream" });
  if (!result?.ok) return "";
  asked = { sessionId: result.session_id, positionSec };
  if (before) control({ action: "stop", session_id: before });
  return result.session_id;
}

/** Move the player of this page; false when the film plays elsewhere. */
export function moveTo(positionSec) {
  if (!watched || !hls) return false;
  film.currentTime = positionSec;
  return true;
}

film.addEventListener("timeupdate", leap);
film.addEventListener("playing", () => {
  started = true;
  waits = false;
  report();
});
film.addEventListener("waiting", () => {
  waits = true;
  leap();
  if (started && !film.seeking) film.dataset.stalls = String(Number(film.dataset.stalls) + 1);
  report();
});
for (const name of ["pause", "seeking", "seeked", "ended", "ratechange"]) film.addEventListener(name, report);
setInterval(report, REPORT_MS);
byId("watch-button").addEventListener("click", () => attach(status.session_id, status.buffer.playhead_sec));
byId("speed").addEventListener("change", (event) => {
  film.playbackRate = Number(event.currentTarget.value);
});
