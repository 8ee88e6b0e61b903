"""Write coded packets into a stand-alone MP4 in memory."""

from __future__ import annotations

import heapq
import io
import math
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from cluster.packet_times import dts_of, pts_of

# MP4 stores time scales in 32 bits, which most readers take as signed.
_MAX_TIMESCALE = 2**31 - 1


def unfit_for_mp4(stream: Stream) -> str | None:
    """Return the codec's name when MP4 has no place for it."""
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as scratch:
            scratch.add_stream_from_template(stream, opaque=True)
            scratch.start_encoding()
    except (ValueError, av.FFmpegError):
        return stream.codec_context.codec.canonical_name
    return None


def shifted(packets: list[Packet[Stream]], start: int) -> list[Packet[Stream]]:
    """Move packets to a clock that starts at `start`, in place."""
    for packet in packets:
        packet.pts = pts_of(packet) - start
        packet.dts = dts_of(packet) - start
    return packets


def mp4_of(
    video: VideoStream,
    audio: AudioStream | None,
    pictures: list[Packet[Stream]],
    sound: list[Packet[Stream]],
) -> bytes:
    """Return a complete MP4 (index at the end) of packets whose times start at zero."""
    # Edit lists count in movie time: with a common multiple of both clocks their offsets are exact.
    timescale = Fraction(video.time_base or 1).denominator
    if audio is not None:
        common = math.lcm(timescale, audio.codec_context.sample_rate or 1)
        timescale = common if common <= _MAX_TIMESCALE else audio.codec_context.sample_rate
    timescale = min(timescale, _MAX_TIMESCALE)
    buffer = io.BytesIO()
    options = {"movie_timescale": str(timescale)}
    with av.open(buffer, "w", format="mp4", container_options=options) as out:
        for template, packets in ((video, pictures), (audio, sound)):
            if template is None:
                continue
            stream = out.add_stream_from_template(template, opaque=True)
            stream.metadata.update(template.metadata)
            for packet in packets:
                packet.stream = stream
        for packet in heapq.merge(pictures, sound, key=lambda p: dts_of(p) * p.time_base):
            out.mux(packet)
    return buffer.getvalue()
