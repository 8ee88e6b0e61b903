"""The film over HTTP: whole, with no border to be seen, for players that know nothing of us."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from email.message import Message
from itertools import pairwise
from pathlib import Path

import av
import pytest

from cluster import EmbeddedCluster
from tests.media_fixtures import Reading, read_film
from tests.process.support import FILM_ID, FRAME_SEC, Viewer, assert_same_film
from tests.standing import Standing
from tests.waiting import wait_until


@pytest.fixture
def standing(viewer: Viewer) -> Standing:
    return Standing(viewer)


def fetch(url: str, **headers: str) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def segment_url(stream_url: str, name: str) -> str:
    return stream_url.rpartition("/")[0] + "/" + name


def times_sec(url: str, kind: str) -> list[tuple[float, float]]:
    """Return begin and end of each packet that an HLS player gets of a stream."""
    found = []
    with av.open(url, "r") as container:
        for packet in container.demux():
            if packet.size and packet.stream.type == kind and packet.pts is not None:
                begin = float(packet.pts * packet.time_base)
                found.append((begin, begin + float((packet.duration or 0) * packet.time_base)))
    return sorted(found)


def test_a_player_that_only_asks_gets_the_whole_film_without_a_border(
    standing: Standing, film: Reading
) -> None:
    session_id = standing.play()
    url = standing.stream_url(session_id)
    for kind in ("video", "audio"):
        for one, other in pairwise(times_sec(url, kind)):
            assert abs(other[0] - one[1]) < 0.001, "a gap or an overlap"
    with av.open(url, "r") as container:
        assert (container.duration or 0) / 1e6 == pytest.approx(film.duration_sec, abs=FRAME_SEC)
    names = ["init.mp4", "0.m4s", "1.m4s", "2.m4s", "3.m4s"]
    whole = b"".join(fetch(segment_url(url, name))[2] for name in names)
    found = read_film(whole)
    assert found.picture_digests == film.picture_digests
    assert found.picture_times_sec == pytest.approx(film.picture_times_sec, abs=0.001)
    status = standing.status(session_id)
    assert status["player"]["followed"]
    assert status["buffer_stats"]["rebuffering_events"] == 0


def test_one_body_of_transport_stream_is_the_film(
    standing: Standing, film: Reading, tmp_path: Path
) -> None:
    url = segment_url(standing.stream_url(standing.play()), "film.ts")
    status, headers, body = fetch(url)
    assert (status, headers["Content-Type"]) == (200, "video/mp2t")
    path = tmp_path / "film.ts"
    path.write_bytes(body)
    assert_same_film(path, film)


def test_the_page_gets_the_same_through_the_dashboard(standing: Standing) -> None:
    session_id = standing.play()
    url = standing.stream_url(session_id)
    through = f"{standing.url}/stream/{session_id}/"
    for name in ("film.m3u8", "init.mp4", "1.m4s"):
        direct = fetch(segment_url(url, name))
        proxied = fetch(through + name)
        assert (proxied[0], proxied[2]) == (direct[0], direct[2]) == (200, direct[2])
        for header in ("Content-Type", "ETag"):
            assert proxied[1][header] == direct[1][header]
    whole = fetch(through + "1.m4s")
    status, headers, part = fetch(through + "1.m4s", Range="bytes=10-99")
    assert (status, part) == (206, whole[2][10:100])
    assert headers["Content-Range"] == f"bytes 10-99/{len(whole[2])}"
    assert fetch(through + "1.m4s", **{"If-None-Match": whole[1]["ETag"]})[0] == 304


def test_what_is_not_there_is_said(standing: Standing) -> None:
    session_id = standing.play()
    url = standing.stream_url(session_id)
    assert fetch(segment_url(url, "99.m4s"))[::2] == (404, b"the film has no segment 99\n")
    assert fetch(url.replace(session_id, "nobody"))[0] == 404
    assert fetch(f"{standing.url}/stream/nobody/film.m3u8")[0] == 404
    standing.post("/api/control", {"action": "stop", "session_id": session_id})
    wait_until(lambda: not standing.status(session_id)["live"])
    assert fetch(segment_url(url, "3.m4s"))[0] == 404


def test_other_sites_get_nothing(standing: Standing) -> None:
    url = standing.stream_url(standing.play())
    assert fetch(url, Host="evil.example")[0] == 403
    assert "Access-Control-Allow-Origin" not in fetch(url, Origin="http://evil.example")[1]
    local = fetch(url, Origin="http://localhost:9000")[1]
    assert local["Access-Control-Allow-Origin"] == "http://localhost:9000"


def test_the_playhead_is_what_the_player_tells(
    standing: Standing, cluster: EmbeddedCluster
) -> None:
    session_id = standing.play()
    standing.say(session_id, "playing", 0)
    wait_until(lambda: standing.status(session_id)["state"] == "playing")
    standing.say(session_id, "seeking", 25)
    wait_until(lambda: standing.status(session_id)["buffer"]["current_position"] == 2)
    assert fetch(segment_url(standing.stream_url(session_id), "2.m4s"))[0] == 200
    standing.say(session_id, "paused", 25)
    wait_until(lambda: standing.status(session_id)["state"] == "paused")
    assert standing.status(session_id)["buffer"]["playhead_sec"] == 25
    body = {"action": "seek", "session_id": session_id, "position_sec": 5}
    assert standing.post("/api/control", body)["ok"]
    wait_until(lambda: standing.status(session_id)["player"]["wish"]["position_sec"] == 5)
    standing.say(session_id, "playing", 39)
    standing.say(session_id, "ended", 40)
    wait_until(lambda: standing.status(session_id)["outcome"] == "played")


def test_a_session_without_output_can_be_watched_too(viewer: Viewer, film: Reading) -> None:
    standing = Standing(viewer)
    playing = viewer.play(FILM_ID)
    wait_until(lambda: standing.get("/api/status")["player"]["stream_url"], 20)
    url = standing.get("/api/status")["player"]["stream_url"]
    with av.open(
        io.BytesIO(fetch(segment_url(url, "init.mp4"))[2] + fetch(segment_url(url, "0.m4s"))[2]),
        "r",
    ) as part:
        pictures = sum(1 for _ in part.decode(video=0))
    assert 0 < pictures < len(film.picture_digests)
    standing.post("/api/control", {"action": "stop"})
    assert playing.finish().code == 0
