"""Open one stand-alone media chunk: its streams, its packets and its exact length.

Imports libav (PyAV); import this module only where media is really handled.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

# First bytes decide the demuxer: libav's own guessing takes any text for a playlist or a subtitle,
# and some of those demuxers open other files and addresses.
_MP4_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip"})
_MATROSKA_MAGIC = b"\x1a\x45\xdf\xa3"
_TS_PACKET_BYTES = 188
# advanced_editlist=0: deliver every packet of the chunk, also those an edit list would hide.
_INPUT_OPTIONS = {"advanced_editlist": "0", "fflags": "+genpts"}
IO_BUFFER_BYTES = 32 * 1024


class MediaError(Exception):
    """The bytes are no media, or the container cannot hold them; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkMedia:
    """What a chunk holds; `duration_sec` is from its first picture to the last one's end."""

    duration_sec: float
    video_codec: str
    audio_codec: str | None
    width: int
    height: int
    frame_count: int


def probe_chunk(data: bytes | memoryview) -> ChunkMedia:
    """Measure a chunk from its headers and packets, without decoding. Raises MediaError."""
    with OpenChunk(data) as chunk:
        context = chunk.video.codec_context
        return ChunkMedia(
            duration_sec=float(chunk.video_end_sec - chunk.shown_from_sec),
            video_codec=context.codec.canonical_name,
            audio_codec=chunk.audio.codec_context.codec.canonical_name if chunk.audio else None,
            width=context.width,
            height=context.height,
            frame_count=len(chunk.pictures),
        )


def _format_of(data: bytes | memoryview) -> str:
    head = bytes(data[: 2 * _TS_PACKET_BYTES + 1])
    if head[4:8] in _MP4_FIRST_BOXES:
        return "mp4"
    if head.startswith(_MATROSKA_MAGIC):
        return "matroska"
    if len(head) > 2 * _TS_PACKET_BYTES and head[::_TS_PACKET_BYTES] == b"GGG":
        return "mpegts"
    raise MediaError("not a media chunk: it begins neither as MP4 nor as Matroska nor as MPEG-TS")


class OpenChunk:
    """A chunk with all its packets read; a context manager that closes the demuxer."""

    def __init__(self, data: bytes | memoryview) -> None:
        container_format = _format_of(data)
        self._container: InputContainer | None = None
        try:
            self._container = container = av.open(
                io.BytesIO(data),
                "r",
                format=container_format,
                options=_INPUT_OPTIONS,
                buffer_size=IO_BUFFER_BYTES,
                metadata_errors="replace",
            )
            self._read(container)
        except MediaError:
            self.close()
            raise
        # A hostile file reaches PyAV's own conversions too, which fail in their own ways.
        except (av.FFmpegError, OSError, ValueError, ArithmeticError, LookupError) as error:
            self.close()
            raise MediaError(f"not a readable media chunk: {error}") from error

    def _read(self, container: InputContainer) -> None:
        films = [s for s in container.streams.video if _decodable(s)]
        if not films:
            raise MediaError("the chunk has no video stream")
        self.video: VideoStream = films[0]
        sounds = [s for s in container.streams.audio if _decodable(s)]
        self.audio: AudioStream | None = sounds[0] if sounds else None
        self.pictures: list[Packet[Stream]] = []
        self.sound: list[Packet[Stream]] = []
        wanted: tuple[Stream, ...] = (self.video, self.audio) if self.audio else (self.video,)
        for packet in container.demux(*wanted):
            if not packet.size:
                continue
            if packet.pts is None:
                raise MediaError("the chunk has packets without a time")
            (self.pictures if packet.stream is self.video else self.sound).append(packet)
        if not self.pictures or not self.video.time_base:
            raise MediaError("the chunk has no pictures")
        self._measure()

    def _measure(self) -> None:
        pictures = self.pictures
        tick_sec = Fraction(pictures[0].time_base)
        following: int | None = None
        for packet in reversed(pictures):
            if packet.dts is None:
                step = max(1, packet.duration or 1)
                packet.dts = pts_of(packet) if following is None else following - step
            following = packet.dts
        first, last = min(pictures, key=pts_of), max(pictures, key=pts_of)
        typical = (pts_of(last) - pts_of(first)) // max(1, len(pictures) - 1)
        end = pts_of(last) + max(1, last.duration or typical)
        # The length of the track is the better measure: only it knows how long the last picture of
        # a film with a variable rate is shown.
        track_end = pts_of(first) + dts_of(pictures[-1]) - dts_of(pictures[0])
        track_end += pictures[-1].duration or 0
        if track_end > pts_of(last):
            end = track_end
        self.video_start_sec = pts_of(first) * tick_sec
        self.shown_from_sec = max(self.video_start_sec, Fraction(0))
        self.video_end_sec = end * tick_sec
        if self.video_end_sec <= self.shown_from_sec:
            self.shown_from_sec = self.video_start_sec
        starts = [self.video_start_sec]
        starts += [pts_of(packet) * Fraction(packet.time_base) for packet in self.sound[:1]]
        self.start_sec = min(starts)

    def close(self) -> None:
        """Close the demuxer."""
        if self._container is not None:
            self._container.close()

    def __enter__(self) -> OpenChunk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def pts_of(packet: Packet[Stream]) -> int:
    """Return the presentation time of a packet of an OpenChunk, in its own ticks."""
    return packet.pts or 0


def dts_of(packet: Packet[Stream]) -> int:
    """Return the decode time of a packet of an OpenChunk, in its own ticks."""
    return packet.dts or 0


def _decodable(stream: VideoStream | AudioStream) -> bool:
    """Tell real tracks from cover pictures and from codecs that libav does not know."""
    context: object = stream.codec_context
    return context is not None and not stream.disposition & Disposition.attached_pic
