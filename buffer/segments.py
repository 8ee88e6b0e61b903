"""Turn stand-alone chunks into the segments of one fragmented MP4, each when it is asked for.

Imports libav (PyAV); import this module only where media is really handled.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from buffer.media import Joint, Parameters, TimelineRemuxer

# Where the film begins on the segments' own clock. Sound may begin a little before the first picture (the priming of
# its codec does), and a fragment cannot tell times below zero.
FILM_START_SEC = 1
# A neighbour that ends this close to where a segment is to begin is what it is joined to.
_SAME_SEC = Fraction(1, 1000)
# One fragment a segment, its times those of the film, without an index at its end. An edit list takes back by how much
# pictures that are shown out of order come late: a fragment's clock then tells when its first one is shown.
_MUXER_OPTIONS = {
    "movflags": "frag_custom+delay_moov+default_base_moof+frag_discont+skip_trailer",
    "use_editlist": "1",
    "avoid_negative_ts": "disabled",
}
_BOX_HEAD = struct.Struct(">I4s")


@dataclass(frozen=True, slots=True)
class Segment:
    """The header every player needs once, and one segment's media."""

    init: bytes
    media: bytes


class Segmenter:
    """Cuts nothing and re-encodes nothing: each chunk becomes one segment at its place in the film.

    A segment joins the sound of the one before where that was made already, without gap or overlap. Callable from
    several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._init = b""
        self._parameters: Parameters = {}
        self._joints: dict[int, Joint] = {}

    @property
    def init(self) -> bytes:
        """The header, empty before the first segment is made."""
        return self._init

    def segment(self, sequence_num: int, data: bytes | memoryview, start_sec: float) -> Segment:
        """Return the chunk as a segment whose first picture is shown `start_sec` after the film's beginning.

        Raises MediaError when the bytes are no media, or of another kind than the chunks before.
        """
        sink = io.BytesIO()
        with self._lock:
            joint = joint_at(self._joints, sequence_num, start_sec)
            remuxer = TimelineRemuxer(
                sink, "mp4", options=_MUXER_OPTIONS, joint=joint, parameters=self._parameters
            )
            try:
                remuxer.add_chunk(data)
            finally:
                remuxer.close()
            init, media = _parts(sink.getvalue())
            # Headers differ in what they say of bit rates, and in their edit lists; one is for all.
            self._init = self._init or bytes(init)
            _move(media, _late_ticks(self._init) - _late_ticks(init))
            self._parameters = remuxer.parameters
            self._joints[sequence_num] = remuxer.joint
        return Segment(self._init, bytes(media))


def joint_at(joints: Mapping[int, Joint], sequence_num: int, start_sec: float) -> Joint:
    """Return where a segment begins: where the one before ended, if that was made and ended there."""
    at_sec = FILM_START_SEC + Fraction(round(start_sec * 1_000_000), 1_000_000)
    before = joints.get(sequence_num - 1)
    return before if before and abs(before.video_sec - at_sec) < _SAME_SEC else Joint(at_sec)


def _parts(data: bytes) -> tuple[bytearray, bytearray]:
    """Return the header and the fragment of a fragmented MP4."""
    init, media = bytearray(), bytearray()
    for kind, at, end in _boxes(data, 0, len(data)):
        if kind in (b"ftyp", b"moov"):
            init += data[at:end]
        elif kind in (b"moof", b"mdat"):
            media += data[at:end]
    return init, media


def _boxes(data: bytes | bytearray, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of each box in a stretch (ISO/IEC 14496-12, 4.2)."""
    while at < end:
        size, kind = _BOX_HEAD.unpack_from(data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        yield kind, at, at + size
        at += size


def _first(data: bytes | bytearray, *path: bytes) -> int | None:
    """Return where the content of the first box of a path begins; the film's pictures are the first track."""
    at, end = 0, len(data)
    for wanted in path:
        found = next(((b, e) for kind, b, e in _boxes(data, at, end) if kind == wanted), None)
        if found is None:
            return None
        at, end = found[0] + _BOX_HEAD.size, found[1]
    return at


def _late_ticks(init: bytes | bytearray) -> int:
    """Return by how much the header's edit list takes the pictures back."""
    at = _first(init, b"moov", b"trak", b"edts", b"elst")
    if at is None:
        return 0
    # Version and flags, the number of edits; of the first one its length and where it begins.
    wide = init[at] == 1
    (ticks,) = struct.unpack_from(">q" if wide else ">i", init, at + (16 if wide else 12))
    return max(0, int(ticks))


def _move(media: bytearray, ticks: int) -> None:
    """Let a fragment's pictures come later on their track's clock, as the edit list for all expects."""
    at = _first(media, b"moof", b"traf", b"tfdt")
    if ticks and at is not None:
        form = ">Q" if media[at] == 1 else ">I"
        (begins,) = struct.unpack_from(form, media, at + 4)
        struct.pack_into(form, media, at + 4, begins + ticks)
