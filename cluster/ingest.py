"""Cut a video file into stand-alone MP4 chunks at key frames, without coding it anew.

Every chunk is a complete MP4 of the best video and the best audio stream. A chunk's clock starts at
its first picture (the first chunk keeps the offset between its streams), and its video track lasts
until the next chunk's first picture: chunks placed one behind the other by that duration rebuild
the source's timeline to the tick. No packet is lost or doubled at a border.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from cluster.mp4_chunk import mp4_of, shifted, unfit_for_mp4
from cluster.packet_times import (
    AudioGrid,
    complete_video_times,
    dts_of,
    fit_track_duration,
    nearest,
    pts_of,
)
from cluster.reencode import reencoded_streams

# Bytes one packet costs in an MP4 index (size, time, offset), and those of the boxes around it.
_INDEX_BYTES_PER_PACKET = 24
_MP4_FRAME_BYTES = 4096
# How far video may run ahead of audio in a badly interleaved file before a chunk goes without it.
_MAX_AUDIO_LAG_SEC = 10
# Demuxers that make "video" of text; those of single pictures end in _pipe.
_NO_FILM_FORMATS = frozenset({"tty", "image2", "bin", "xbin", "idf", "adf"})


class IngestError(Exception):
    """The file cannot be stored; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class MediaChunk:
    """One stand-alone MP4; `duration_sec` is the distance to the next chunk's first picture."""

    sequence_num: int
    duration_sec: float
    data: bytes


def cut_video(
    path: Path, *, chunk_duration_sec: float = 10.0, max_chunk_bytes: int, reencode: bool = False
) -> Iterator[MediaChunk]:
    """Yield `path` as MP4 chunks that begin at the key frames nearest to each chunk duration.

    Works while it is iterated and holds about two chunks in memory. Where a chunk would grow over
    `max_chunk_bytes`, an earlier key frame ends it; a source is never cut anywhere else, so one
    whose key frames are far apart gives longer chunks. Raises IngestError, also in mid-iteration.
    """
    if not chunk_duration_sec > 0:
        raise ValueError(f"chunk_duration_sec must be positive, got {chunk_duration_sec}")
    if not path.is_file():
        raise IngestError(f"{path}: no such file")
    try:
        with av.open(str(path), options={"fflags": "+genpts"}) as source:
            video, audio = _best_streams(source)
            if reencode:
                feed, video, audio = reencoded_streams(
                    source,
                    video,
                    audio,
                    chunk_duration_sec=chunk_duration_sec,
                    max_chunk_bytes=max_chunk_bytes,
                )
            else:
                for stream in (video, audio):
                    codec = unfit_for_mp4(stream) if stream is not None else None
                    if stream is not None and codec:
                        raise IngestError(
                            f"MP4 cannot hold {stream.type} coded as {codec}; "
                            "--reencode turns it into H.264 and AAC"
                        )
                feed = _copied_packets(source, video, audio)
            cutter = _Cutter(video, audio, chunk_duration_sec, max_chunk_bytes)
            for packet in feed:
                yield from cutter.take(packet)
            yield from cutter.finish()
    except IngestError as error:
        raise IngestError(f"{path}: {error}") from error.__cause__
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise IngestError(f"{path}: cannot be read as a video: {reason}") from error


def _best_streams(source: InputContainer) -> tuple[VideoStream, AudioStream | None]:
    names = source.format.name.split(",")
    films = [stream for stream in source.streams.video if _is_film(stream)]
    no_film = any(name in _NO_FILM_FORMATS or name.endswith("_pipe") for name in names)
    if no_film or not (films or source.streams.audio):
        raise IngestError("is not a video file")
    if not films:
        raise IngestError("has no video stream")
    best = source.streams.best("video")
    video = best if isinstance(best, VideoStream) and best in films else films[0]
    sound = source.streams.best("audio", related=video)
    return video, sound if isinstance(sound, AudioStream) else None


def _is_film(stream: VideoStream) -> bool:
    """Tell films from cover pictures and from codecs that libav does not know."""
    context: object = stream.codec_context
    return context is not None and not stream.disposition & Disposition.attached_pic


def _copied_packets(
    source: InputContainer, video: VideoStream, audio: AudioStream | None
) -> Iterator[Packet[Stream]]:
    wanted: tuple[Stream, ...] = (video,) if audio is None else (video, audio)
    return (packet for packet in source.demux(*wanted) if packet.size)


@dataclass(slots=True)
class _Group:
    """The pictures from one key frame up to the next one, in coding order."""

    packets: list[Packet[Stream]]
    start_ticks: int
    end_ticks: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Span:
    """A finished chunk's pictures; it covers start_ticks <= t < end_ticks."""

    groups: list[_Group]
    start_ticks: int
    end_ticks: int


class _Cutter:
    """Collect packets into groups of pictures, groups into chunks, and write the chunks."""

    def __init__(
        self,
        video: VideoStream,
        audio: AudioStream | None,
        chunk_duration_sec: float,
        max_chunk_bytes: int,
    ) -> None:
        self._video = video
        self._audio = audio
        self._tick_sec = Fraction(video.time_base or Fraction(1, 90_000))
        self._target_ticks = Fraction(chunk_duration_sec) / self._tick_sec
        self._max_chunk_bytes = max_chunk_bytes
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        self._frame_ticks = max(1, nearest(1 / (rate * self._tick_sec)))
        self._grid = AudioGrid(audio) if audio is not None else None
        self._pictures: list[Packet[Stream]] = []
        self._groups: list[_Group] = []
        self._chunk_start_ticks = 0
        self._closed: deque[_Span] = deque()
        self._sound: deque[Packet[Stream]] = deque()
        self._shift_ticks: int | None = None
        self._last_dts: int | None = None
        self._sequence_num = 0

    def take(self, packet: Packet[Stream]) -> Iterator[MediaChunk]:
        """Accept the next packet in file order; yield the chunks it completes."""
        if packet.stream.type == "audio":
            self._sound.append(packet)
            if self._shift_ticks is not None:
                self._place(packet, self._shift_ticks)
        elif packet.is_keyframe and self._pictures:
            self._close_group()
            self._pictures = [packet]
            yield from self._finished_chunks()
        elif packet.is_keyframe or self._pictures:
            self._pictures.append(packet)

    def finish(self) -> Iterator[MediaChunk]:
        """Yield what is left; the last chunk ends with its last picture."""
        if not self._pictures:
            raise IngestError("the video stream has no key frame to start from")
        self._close_group()
        end_ticks = max(group.end_ticks for group in self._groups)
        self._closed.append(_Span(self._groups, self._chunk_start_ticks, end_ticks))
        yield from self._finished_chunks(at_end=True)

    def _place(self, packet: Packet[Stream], shift_ticks: int) -> None:
        if self._grid is not None:
            self._grid.place(packet, shift_sec=shift_ticks * self._tick_sec)

    def _start_timeline(self, first_picture_ticks: int) -> int:
        """Choose the source time that becomes zero: the first stream's start, priming apart."""
        starts = [first_picture_ticks * self._tick_sec]
        starts += [
            stamp * Fraction(packet.time_base)
            for packet in self._sound
            if (stamp := packet.pts if packet.pts is not None else packet.dts) is not None
        ]
        self._shift_ticks = shift = max(0, math.floor(min(starts) / self._tick_sec))
        for packet in self._sound:
            self._place(packet, shift)
        return shift

    def _close_group(self) -> None:
        pictures = self._pictures
        complete_video_times(pictures, last_dts=self._last_dts, frame_ticks=self._frame_ticks)
        self._last_dts = dts_of(pictures[-1])
        shift = self._shift_ticks
        if shift is None:
            shift = self._start_timeline(min(pts_of(packet) for packet in pictures))
        for packet in pictures:
            packet.pts = pts_of(packet) - shift
            packet.dts = dts_of(packet) - shift
        last = max(pictures, key=pts_of)
        group = _Group(
            pictures,
            min(pts_of(packet) for packet in pictures),
            pts_of(last) + (last.duration or self._frame_ticks),
            sum(packet.size + _INDEX_BYTES_PER_PACKET for packet in pictures),
        )
        if self._groups and self._belongs_to_next_chunk(group):
            self._closed.append(_Span(self._groups, self._chunk_start_ticks, group.start_ticks))
            self._groups = []
            self._chunk_start_ticks = group.start_ticks
        self._groups.append(group)

    def _belongs_to_next_chunk(self, group: _Group) -> bool:
        start = self._chunk_start_ticks
        if group.start_ticks <= self._groups[-1].start_ticks:  # a source whose clock jumps back
            return False
        size_bytes = _MP4_FRAME_BYTES + group.size_bytes
        size_bytes += sum(earlier.size_bytes for earlier in self._groups)
        size_bytes += sum(
            packet.size + _INDEX_BYTES_PER_PACKET
            for packet in self._sound
            if self._sample(start) <= pts_of(packet) < self._sample(group.end_ticks)
        )
        if size_bytes > self._max_chunk_bytes:
            return True
        undershoot = abs(group.start_ticks - start - self._target_ticks)
        return undershoot <= abs(group.end_ticks - start - self._target_ticks)

    def _sample(self, ticks: int) -> int:
        return self._grid.samples(ticks * self._tick_sec) if self._grid is not None else 0

    def _finished_chunks(self, *, at_end: bool = False) -> Iterator[MediaChunk]:
        lag_ticks = _MAX_AUDIO_LAG_SEC / self._tick_sec
        while self._closed:
            span = self._closed[0]
            heard = not self._grid or (
                bool(self._sound) and pts_of(self._sound[-1]) >= self._sample(span.end_ticks)
            )
            seen_ticks = self._groups[-1].end_ticks if self._groups else span.end_ticks
            if not (heard or at_end or seen_ticks > span.end_ticks + lag_ticks):
                return
            self._closed.popleft()
            last = at_end and not self._closed
            sound: list[Packet[Stream]] = []
            while self._sound and (last or pts_of(self._sound[0]) < self._sample(span.end_ticks)):
                sound.append(self._sound.popleft())
            yield self._written(span, sound)

    def _written(self, span: _Span, sound: list[Packet[Stream]]) -> MediaChunk:
        pictures = [packet for group in span.groups for packet in group.packets]
        # A clock that jumps back inside the chunk must not give a length below its pictures' own.
        duration_ticks = max(span.end_ticks - span.start_ticks, 1)
        first_ticks = min(group.start_ticks for group in span.groups)
        fit_track_duration(pictures, span.end_ticks - first_ticks)
        data = mp4_of(
            self._video,
            self._audio if sound else None,
            shifted(pictures, span.start_ticks),
            shifted(sound, self._sample(span.start_ticks)),
        )
        sequence_num = self._sequence_num
        if len(data) > self._max_chunk_bytes:
            raise IngestError(
                f"chunk {sequence_num} would have {len(data)} bytes, the limit is "
                f"{self._max_chunk_bytes} (its key frames are "
                f"{float(duration_ticks * self._tick_sec):.1f} s apart); --reencode makes it fit"
            )
        self._sequence_num += 1
        shown_ticks = span.end_ticks - max(first_ticks, 0 if not sequence_num else first_ticks)
        return MediaChunk(sequence_num, float(shown_ticks * self._tick_sec), data)
