"""Put coded packets on exact clocks: rising decode times for video, the sample grid for audio.

No I/O, no clock, no randomness. Times are integers in ticks of a stated time base.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream


def nearest(value: Fraction) -> int:
    """Round half up: unlike round(), the same at every offset, so that sums stay exact."""
    return math.floor(value + Fraction(1, 2))


def pts_of(packet: Packet[Stream]) -> int:
    """Return the presentation time of a packet whose times are complete."""
    return packet.pts or 0


def dts_of(packet: Packet[Stream]) -> int:
    """Return the decode time of a packet whose times are complete."""
    return packet.dts or 0


def complete_video_times(
    packets: Sequence[Packet[Stream]], *, last_dts: int | None, frame_ticks: int
) -> None:
    """Fill in missing times of one group of pictures and make its decode times rise strictly.

    `last_dts` is the decode time before the group. Times that are there and in order stay.
    """
    following: int | None = None
    for packet in reversed(packets):
        if packet.dts is None and following is not None:
            packet.dts = following - max(1, packet.duration or frame_ticks)
        following = packet.dts
    for before, packet in pairwise(packets):
        if packet.pts is None and packet.dts is None:
            packet.pts = (before.pts or 0) + frame_ticks
    for packet in packets:
        packet.pts = packet.pts if packet.pts is not None else packet.dts or 0
    if any(packet.dts is None or packet.dts > pts_of(packet) for packet in packets):
        in_order = sorted(pts_of(packet) for packet in packets)
        delay = max(shown - pts_of(packet) for shown, packet in zip(in_order, packets, strict=True))
        for shown, packet in zip(in_order, packets, strict=True):
            packet.dts = shown - delay
    for packet in packets:
        if last_dts is not None and dts_of(packet) <= last_dts:
            packet.dts = last_dts + 1
        last_dts = dts_of(packet)


def fit_track_duration(packets: Sequence[Packet[Stream]], duration_ticks: int) -> None:
    """Set the last packet's duration so that an MP4 track of these packets lasts `duration_ticks`.

    Where the first pictures' decode times reach back too far (variable rates), they move up.
    """
    earliest = dts_of(packets[-1]) + 1 - duration_ticks
    for index, packet in enumerate(packets):
        if dts_of(packet) >= earliest + index:
            break
        packet.dts = min(earliest + index, pts_of(packet))
    span = dts_of(packets[-1]) - dts_of(packets[0])
    packets[-1].duration = max(1, duration_ticks - span)


class AudioGrid:
    """Place audio packets on their sample grid, undoing the rounding of coarse time bases."""

    def __init__(self, stream: AudioStream) -> None:
        context = stream.codec_context
        self.rate_hz = context.sample_rate or 48_000
        self._frame_samples = context.frame_size
        tick_samples = Fraction(stream.time_base or Fraction(1, self.rate_hz)) * self.rate_hz
        self._tolerance_samples = math.ceil(tick_samples) + 1 if tick_samples != 1 else 0
        self._expected: int | None = None

    def samples(self, time_sec: Fraction) -> int:
        """Return the sample position of a time."""
        return nearest(time_sec * self.rate_hz)

    def place(self, packet: Packet[Stream], *, shift_sec: Fraction) -> None:
        """Rewrite the packet's times in samples, `shift_sec` earlier than they were."""
        tick_sec = Fraction(packet.time_base)
        duration = self._near(self.samples((packet.duration or 0) * tick_sec), self._frame_samples)
        duration = duration or self._frame_samples
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            start = self._expected or 0
        else:
            start = self.samples(stamp * tick_sec - shift_sec)
            # A codec's priming is one frame, whatever the time base makes of it.
            expected = -duration if self._expected is None and start < 0 else self._expected
            start = self._near(start, expected)
        if self._expected is not None and start <= self._expected - max(1, duration):
            start = self._expected
        packet.time_base = Fraction(1, self.rate_hz)
        packet.pts = packet.dts = start
        packet.duration = duration
        self._expected = start + duration

    def _near(self, samples: int, expected: int | None) -> int:
        if expected is not None and abs(samples - expected) <= self._tolerance_samples:
            return expected
        return samples
