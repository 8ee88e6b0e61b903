"""Turn any decodable film into H.264 and AAC with a key frame at every chunk border."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

# Of a chunk's bytes, what the container and rate control's slack may take.
_MEDIA_SHARE = 0.90
# Rate control may save up and spend this much at once: it counts against every chunk.
_VBV_SEC = 1.0
# Constant quality where the limit allows it: visually close to the source.
_QUALITY_CRF = "20"
_MAX_AUDIO_BPS, _MIN_AUDIO_BPS = 128_000, 32_000
_AUDIO_SHARE = 0.2
# Below this, H.264 falls apart: the picture is made smaller instead.
_MIN_BITS_PER_PIXEL = 0.03
_AAC_RATES_HZ = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
_CLOCK_HZ = 90_000


def reencoded_streams(
    source: InputContainer,
    video: VideoStream,
    audio: AudioStream | None,
    *,
    chunk_duration_sec: float,
    max_chunk_bytes: int,
) -> tuple[Iterator[Packet[Stream]], VideoStream, AudioStream | None]:
    """Return the packets of the film, coded anew, and the streams that describe them.

    8-bit 4:2:0 H.264 whose key frames stand on multiples of `chunk_duration_sec` (and nowhere
    else), at a rate that keeps chunks of that length below `max_chunk_bytes`.
    """
    encoder = _Encoder(source, video, audio, chunk_duration_sec, max_chunk_bytes)
    return encoder.packets(source, video, audio), encoder.video, encoder.audio


class _Encoder:
    def __init__(
        self,
        source: InputContainer,
        video: VideoStream,
        audio: AudioStream | None,
        chunk_duration_sec: float,
        max_chunk_bytes: int,
    ) -> None:
        total_bps = max_chunk_bytes * 8 * _MEDIA_SHARE / (chunk_duration_sec + _VBV_SEC)
        audio_bps = 0
        if audio is not None:
            audio_bps = int(min(_MAX_AUDIO_BPS, max(_MIN_AUDIO_BPS, total_bps * _AUDIO_SHARE)))
        video_bps = int(max(total_bps - audio_bps, 10_000))
        self._chunk_sec = Fraction(chunk_duration_sec)
        # Never written to: it makes the streams and their parameters, the chunks carry the packets.
        self._scratch: OutputContainer = av.open(io.BytesIO(), "w", format="mp4")
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        self._tick_sec = Fraction(1, _CLOCK_HZ)
        self._reformatter = VideoReformatter()
        self._quarter_turns = _quarter_turns(source.name, video.index)
        self.audio = self._audio_stream(audio, audio_bps) if audio is not None else None
        self._rate, self._video_bps = rate, video_bps
        self.video = self._video_stream(video)
        self._scratch.start_encoding()

    def _video_stream(self, source: VideoStream) -> VideoStream:
        context = source.codec_context
        scale = min(
            1.0,
            math.sqrt(
                self._video_bps
                / (_MIN_BITS_PER_PIXEL * context.width * context.height * float(self._rate))
            ),
        )
        stream = self._scratch.add_stream("libx264", rate=self._rate)
        size = [max(16, int(side * scale) // 2 * 2) for side in (context.width, context.height)]
        stream.width, stream.height = reversed(size) if self._quarter_turns % 2 else size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = self._tick_sec
        if source.sample_aspect_ratio:
            stream.codec_context.sample_aspect_ratio = source.sample_aspect_ratio
        stream.codec_context.options = {
            "preset": "veryfast",
            "crf": _QUALITY_CRF,
            "maxrate": str(self._video_bps),
            "bufsize": str(int(self._video_bps * _VBV_SEC)),
            "forced-idr": "1",
            "x264-params": "scenecut=0:keyint=infinite:open-gop=0",
        }
        return stream

    def _audio_stream(self, source: AudioStream, bit_rate_bps: int) -> AudioStream:
        rate_hz = source.codec_context.sample_rate
        stream = self._scratch.add_stream(
            "aac", rate=rate_hz if rate_hz in _AAC_RATES_HZ else _AAC_RATES_HZ[0]
        )
        stream.bit_rate = bit_rate_bps
        stream.codec_context.layout = "mono" if source.codec_context.channels == 1 else "stereo"
        return stream

    def packets(
        self, source: InputContainer, video: VideoStream, audio: AudioStream | None
    ) -> Iterator[Packet[Stream]]:
        """Decode and encode while iterated; damaged pictures and sounds are left out."""
        resampler = None
        if self.audio is not None:
            context = self.audio.codec_context
            resampler = AudioResampler(context.format, context.layout, context.sample_rate)
        video.thread_type = "AUTO"
        wanted: tuple[Stream, ...] = (video,) if audio is None else (video, audio)
        border_sec: Fraction | None = None
        last_ticks = -1
        for packet in source.demux(*wanted):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                if isinstance(frame, AudioFrame) and resampler is not None and self.audio:
                    for resampled in resampler.resample(frame):
                        yield from self.audio.encode(resampled)
                elif isinstance(frame, VideoFrame) and frame.pts is not None:
                    time_sec = frame.pts * Fraction(frame.time_base or self._tick_sec)
                    border_sec = time_sec if border_sec is None else border_sec
                    at_border = time_sec >= border_sec
                    while time_sec >= border_sec:
                        border_sec += self._chunk_sec
                    ticks = math.floor(time_sec / self._tick_sec + Fraction(1, 2))
                    if ticks > last_ticks or last_ticks == -1:
                        last_ticks = ticks
                        yield from self.video.encode(self._picture(frame, ticks, at_border))
        yield from self.video.encode(None)
        if self.audio is not None and resampler is not None:
            for rest in resampler.resample(None):
                yield from self.audio.encode(rest)
            yield from self.audio.encode(None)

    def _picture(self, frame: VideoFrame, ticks: int, at_border: bool) -> VideoFrame:
        if self._quarter_turns:
            frame = _turned(frame, self._quarter_turns)
        picture = self._reformatter.reformat(
            frame, width=self.video.width, height=self.video.height, format="yuv420p"
        )
        if picture is frame:
            picture = frame.reformat(format="yuv420p")
        picture.pts, picture.time_base = ticks, self._tick_sec
        picture.pict_type = PictureType.I if at_border else PictureType.NONE
        return picture


def _quarter_turns(path: str, stream_index: int) -> int:
    """Return how often players turn the film's pictures by 90 degrees, counterclockwise."""
    with av.open(path) as source:
        for frame in source.decode(source.streams[stream_index]):
            if isinstance(frame, VideoFrame):
                return round(frame.rotation / 90) % 4
    return 0


def _turned(frame: VideoFrame, quarter_turns: int) -> VideoFrame:
    width, height = frame.width // 2 * 2, frame.height // 2 * 2
    planes = frame.reformat(width=width, height=height, format="yuv420p").to_ndarray()
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    parts = [np.rot90(part, quarter_turns).ravel() for part in (planes[:height], *chroma)]
    new_width = height if quarter_turns % 2 else width
    turned = np.concatenate(parts).astype(np.uint8).reshape(-1, new_width)
    return VideoFrame.from_ndarray(np.ascontiguousarray(turned), format="yuv420p")
