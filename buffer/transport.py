"""Turn stand-alone chunks into segments of MPEG-TS, for players that cannot jump in fragmented MP4.

Imports libav (PyAV); import this module only where media is really handled.
"""

from __future__ import annotations

import io
import threading

from buffer.media import Joint, Parameters, TimelineRemuxer
from buffer.segments import joint_at

# Times are those of the film's own clock; each segment says that its packets' counters begin anew.
_MUXER_OPTIONS = {
    "mpegts_flags": "initial_discontinuity",
    "mpegts_copyts": "1",
    "avoid_negative_ts": "disabled",
}


class TransportSegmenter:
    """As `Segmenter`, and on the same clock; every segment begins with its own headers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parameters: Parameters = {}
        self._joints: dict[int, Joint] = {}

    def segment(self, sequence_num: int, data: bytes | memoryview, start_sec: float) -> bytes:
        """Return the chunk as a segment whose first picture is shown `start_sec` after the film's beginning.

        Raises MediaError when the bytes are no media, of another kind than the chunks before, or coded in a way that
        MPEG-TS cannot hold.
        """
        sink = io.BytesIO()
        with self._lock:
            remuxer = TimelineRemuxer(
                sink,
                "mpegts",
                options=_MUXER_OPTIONS,
                joint=joint_at(self._joints, sequence_num, start_sec),
                parameters=self._parameters,
            )
            try:
                remuxer.add_chunk(data)
            finally:
                remuxer.close()
            self._parameters = remuxer.parameters
            self._joints[sequence_num] = remuxer.joint
        return sink.getvalue()
