"""Remux stand-alone media chunks, without re-encoding, onto one timeline.

Imports libav (PyAV); import this module only where media is really handled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from buffer.chunk_reader import (
    ChunkMedia,
    MediaError,
    OpenChunk,
    dts_of,
    probe_chunk,
    pts_of,
)

__all__ = ["ChunkMedia", "ContainerName", "Joint", "MediaError", "TimelineRemuxer", "probe_chunk"]

ContainerName = Literal["mp4", "matroska", "mpegts"]

# MPEG-TS takes any codec id and writes what no reader understands; these it really has.
_TS_CODECS = frozenset(
    {"h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4", "vvc"}
    | {"aac", "mp2", "mp3", "ac3", "eac3", "opus", "dts", "truehd"}
)
_WRITE_BUFFER_BYTES = 256 * 1024
_ANNEX_B_FILTERS = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
# Chunks whose audio clock was reset to zero at the cut lost its offset to the video (less than a
# frame as a rule): up to this much they are joined to the audio before them, without gap or loss.
_RESET_JOIN_SEC = Fraction(1, 10)
# Any other chunk's audio is joined when it misses the end of the audio before by this many frames.
_JOIN_FRAMES = Fraction(1, 2)
# A lead longer than this at the start of the first chunk is a foreign clock, not a late stream.
_MAX_LEAD_SEC = 60


class ByteSink(Protocol):
    """What is written to; containers with an index also ask for `seek` and `tell`."""

    def write(self, data: bytes, /) -> int:
        """Write all of `data`."""


Parameters = Mapping[str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Joint:
    """Where a chunk ends on the timeline, and so where the next one begins: its pictures, and its sound if known."""

    video_sec: Fraction
    audio_sec: Fraction | None = None


class TimelineRemuxer:
    """Write chunks one behind the other into one container, as if they had never been cut.

    Each chunk's first picture is placed exactly where the pictures before it end: times are summed
    as fractions, so nothing drifts. `target` is a path, or an object with `write`, which needs
    `seek` and `tell` unless the container is mpegts or `options` ask for fragments; such an object
    is not closed. Memory holds one chunk, and for MP4 the growing index. With a `joint` the first chunk goes on where
    another remuxer's last one ended, coded as `parameters` say.
    """

    def __init__(
        self,
        target: Path | str | ByteSink,
        container_format: ContainerName,
        *,
        options: Mapping[str, str] | None = None,
        joint: Joint | None = None,
        parameters: Parameters | None = None,
    ) -> None:
        self._format = container_format
        self._target = str(target) if isinstance(target, Path) else target
        self._options = dict(options or {})
        self._out: OutputContainer | None = None
        self._closed = False
        self._joins = joint is not None
        self._cursor_sec = joint.video_sec if joint else Fraction(0)
        self._audio_end_sec = joint.audio_sec if joint else None
        self._streams: dict[str, Stream] = {}
        self._parameters = dict(parameters or {})
        self._last_dts: dict[str, int] = {}

    @property
    def position_sec(self) -> float:
        """Where the next chunk's first picture goes."""
        return float(self._cursor_sec)

    @property
    def joint(self) -> Joint:
        """Where the next chunk begins."""
        return Joint(self._cursor_sec, self._audio_end_sec)

    @property
    def parameters(self) -> Parameters:
        """How the chunks are coded, each kind of stream; no track can change it."""
        return self._parameters

    def add_chunk(self, data: bytes | memoryview) -> float:
        """Append a chunk and return the seconds it added.

        Raises MediaError, having written nothing of the chunk, when it is no media or does not fit;
        errors of the target come out as they are (OSError).
        """
        if self._closed:
            raise ValueError("the remuxer is closed")
        with OpenChunk(data) as chunk:
            before_sec = self._cursor_sec
            offset_sec = before_sec - chunk.video_start_sec
            if self._out is None:
                self._begin(chunk)
            self._require_same_parameters(chunk)
            if not self._joins:
                self._joins = True
                # The first chunk keeps the offset between its streams, so that nothing is lost.
                lead_sec = chunk.video_start_sec - min(chunk.start_sec, chunk.video_start_sec)
                start_sec = max(chunk.start_sec, Fraction(0))
                if lead_sec <= _MAX_LEAD_SEC:
                    offset_sec = before_sec - start_sec
            end_sec = chunk.video_end_sec + offset_sec
            self._write(chunk, offset_sec)
            self._cursor_sec = end_sec
            return float(end_sec - max(before_sec, chunk.shown_from_sec + offset_sec))

    def add_gap(self, duration_sec: float) -> None:
        """Leave out a missing chunk: what follows comes `duration_sec` later."""
        if duration_sec < 0:
            raise ValueError(f"a gap cannot be negative: {duration_sec}")
        # Microseconds keep the sum's denominator small, however many gaps there are.
        self._cursor_sec += Fraction(round(duration_sec * 1_000_000), 1_000_000)

    def close(self) -> None:
        """Write the index and whatever else ends the container. Idempotent."""
        self._closed = True
        out, self._out = self._out, None
        if out is not None:
            out.close()

    def _begin(self, chunk: OpenChunk) -> None:
        options = dict(self._options)
        if self._format == "mp4":
            clocks = [_timescale(stream) for stream in (chunk.video, chunk.audio) if stream]
            options.setdefault("movie_timescale", str(math.lcm(*clocks)))
            if math.lcm(*clocks) >= 2**31:
                options["movie_timescale"] = str(min(clocks[-1], 2**31 - 1))
        for stream in (chunk.video, chunk.audio):
            name = _codec_name(stream) if stream else ""
            if stream and self._format == "mpegts" and name not in _TS_CODECS:
                raise MediaError(f"mpegts cannot hold {stream.type} coded as {name}")
        out = av.open(
            self._target,
            "w",
            format=self._format,
            container_options=options,
            buffer_size=_WRITE_BUFFER_BYTES,
        )
        try:
            for stream in (chunk.video, chunk.audio):
                if stream is not None:
                    copy = out.add_stream_from_template(stream, opaque=True)
                    copy.metadata.update(stream.metadata)
                    self._streams[stream.type] = copy
                    self._parameters.setdefault(stream.type, _parameters(stream))
            out.start_encoding()
        except ValueError as error:
            self._streams.clear()
            raise MediaError(f"{self._format} cannot hold the chunk: {error}") from error
        self._out = out

    def _require_same_parameters(self, chunk: OpenChunk) -> None:
        for stream in (chunk.video, chunk.audio):
            if stream is None or stream.type not in self._streams:
                continue
            now, before = _parameters(stream), self._parameters[stream.type]
            in_band = self._format == "mpegts" and now[0] == before[0] in _ANNEX_B_FILTERS
            if now != before and not in_band:
                raise MediaError(
                    f"the {stream.type} changes from {_described(before)} to {_described(now)}: "
                    f"one {self._format} track cannot hold both"
                )

    def _write(self, chunk: OpenChunk, offset_sec: Fraction) -> None:
        pictures = self._placed_pictures(chunk, offset_sec)
        sound = self._placed_sound(chunk, offset_sec)
        if (out := self._out) is None:
            raise ValueError("the remuxer has not begun")
        tick_sec = {kind: float(s.time_base or 1) for kind, s in self._streams.items()}
        due_sec = [(dts_of(packet) * tick_sec["video"], packet) for packet in pictures]
        due_sec += [(dts_of(packet) * tick_sec["audio"], packet) for packet in sound]
        due_sec.sort(key=lambda due: due[0])
        try:
            for _, packet in due_sec:
                out.mux_one(packet)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise  # the target's
            raise MediaError(f"{self._format} refuses the chunk: {error.strerror}") from error

    def _placed_pictures(self, chunk: OpenChunk, offset_sec: Fraction) -> list[Packet[Stream]]:
        target = self._streams["video"]
        packets = chunk.pictures
        to_target = _clock_change(chunk.video.time_base, target.time_base, offset_sec)
        placed: list[tuple[int, int]] = []
        last_dts = self._last_dts.get("video")
        for packet in packets:
            pts, dts = to_target(pts_of(packet)), to_target(dts_of(packet))
            dts = dts if last_dts is None else max(dts, last_dts + 1)
            if dts > pts:
                raise MediaError("the chunk's pictures would have to be decoded after they are due")
            placed.append((pts, dts))
            last_dts = dts
        if last_dts is not None:
            self._last_dts["video"] = last_dts
        filter_name = _ANNEX_B_FILTERS.get(_codec_name(chunk.video))
        scale = Fraction(chunk.video.time_base or 1) / Fraction(target.time_base or 1)
        for packet, (pts, dts) in zip(packets, placed, strict=True):
            packet.duration = _nearest((packet.duration or 0) * scale)
            packet.pts, packet.dts = pts, dts
            packet.time_base = target.time_base or packet.time_base
        if self._format == "mpegts" and filter_name:
            # Here, not in the muxer: this puts each chunk's own parameters into the stream.
            in_band = BitStreamFilterContext(filter_name, chunk.video)
            packets = [done for packet in packets for done in in_band.filter(packet)]
            for packet in packets:
                packet.time_base = target.time_base or packet.time_base
        for packet in packets:
            packet.stream = target
        return packets

    def _placed_sound(self, chunk: OpenChunk, offset_sec: Fraction) -> list[Packet[Stream]]:
        target = self._streams.get("audio")
        packets = chunk.sound
        if target is None or not packets:
            return []
        tick_sec = Fraction(packets[0].time_base)
        shift = _nearest(offset_sec / tick_sec)
        if self._audio_end_sec is not None:
            expected = _nearest(self._audio_end_sec / tick_sec) - shift
            gap = pts_of(packets[0]) - expected
            join = (packets[0].duration or 0) * _JOIN_FRAMES
            if pts_of(packets[0]) == 0 and abs(gap) <= _RESET_JOIN_SEC / tick_sec:
                shift -= gap
            elif packets := _without_repeats(packets, expected):
                gap = pts_of(packets[0]) - expected
                shift -= gap if gap <= join else 0
            else:
                return []
        last = packets[-1]
        self._audio_end_sec = (pts_of(last) + shift + (last.duration or 0)) * tick_sec
        to_target = _clock_change(tick_sec, target.time_base, Fraction(0))
        last_dts = self._last_dts.get("audio")
        for packet in packets:
            pts = to_target(pts_of(packet) + shift)
            pts = pts if last_dts is None else max(pts, last_dts + 1)
            packet.duration = to_target(packet.duration or 0)
            packet.pts = packet.dts = last_dts = pts
            packet.time_base = target.time_base or packet.time_base
            packet.stream = target
        if last_dts is not None:
            self._last_dts["audio"] = last_dts
        return packets


def _without_repeats(packets: list[Packet[Stream]], expected: int) -> list[Packet[Stream]]:
    """Drop leading packets that end before `expected`: the priming of a separately coded chunk."""
    for index, packet in enumerate(packets):
        if pts_of(packet) + max(1, packet.duration or 0) > expected:
            return packets[index:]
    return []


def _nearest(value: Fraction) -> int:
    """Round half up: unlike round(), the same at every offset, so that sums stay exact."""
    return math.floor(value + Fraction(1, 2))


def _clock_change(
    from_tick_sec: Fraction | None, to_tick_sec: Fraction | None, offset_sec: Fraction
) -> Callable[[int], int]:
    """Return a function from ticks of one clock to the nearest ticks of another, shifted."""
    target = Fraction(to_tick_sec or 1)
    scale, shift = Fraction(from_tick_sec or 1) / target, offset_sec / target
    common = math.lcm(scale.denominator, shift.denominator)
    factor, addend = int(scale * common), int(shift * common)
    return lambda ticks: (2 * (ticks * factor + addend) + common) // (2 * common)


def _codec_name(stream: Stream) -> str:
    return stream.codec_context.codec.canonical_name


def _timescale(stream: VideoStream | AudioStream) -> int:
    if isinstance(stream, AudioStream):
        return stream.codec_context.sample_rate or 1
    return Fraction(stream.time_base or 1).denominator


def _parameters(stream: VideoStream | AudioStream) -> tuple[object, ...]:
    """Return what a track cannot change, the codec's name first."""
    context = stream.codec_context
    name = _codec_name(stream)
    if isinstance(stream, AudioStream):
        audio = stream.codec_context
        return (name, f"{audio.sample_rate} Hz", audio.layout.name, bytes(context.extradata or b""))
    video = stream.codec_context
    return (name, f"{video.width}x{video.height}", "", bytes(context.extradata or b""))


def _described(parameters: tuple[object, ...]) -> str:
    return " ".join(str(part) for part in parameters[:3] if part)
