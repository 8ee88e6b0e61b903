"""Small films and comparisons of media for tests: every film is made with libav, none is stored."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What a test film looks like; the container follows the file's extension."""

    duration_sec: float = 4.0
    fps: Fraction = Fraction(25)
    gop_frames: int = 25
    width: int = 160
    height: int = 120
    video_codec: str = "libx264"
    b_frames: int = 2
    open_gop: bool = False
    audio_codec: str | None = "aac"
    sample_rate_hz: int = 48000
    audio_delay_sec: float = 0.0
    video_delay_sec: float = 0.0
    audio_sec: float | None = None
    time_base: Fraction | None = None
    variable_rate: bool = False
    noise: bool = False
    bitrate_bps: int = 200_000

    @property
    def frame_count(self) -> int:
        """Frames in the film."""
        return round(self.duration_sec * self.fps)


def frame_picture(film: Film, index: int) -> npt.NDArray[np.uint8]:
    """Return picture `index` as RGB: a moving gradient, so that every frame differs, or noise."""
    if film.noise:
        shape = (film.height, film.width, 3)
        return np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)
    rows = np.arange(film.height, dtype=np.uint32)[:, None]
    columns = np.arange(film.width, dtype=np.uint32)[None, :]
    picture = np.empty((film.height, film.width, 3), dtype=np.uint8)
    picture[..., 0] = (columns * 2 + index * 5) % 256
    picture[..., 1] = (rows * 2 + index * 3) % 256
    picture[..., 2] = (columns + rows + index * 11) % 256
    return picture


def frame_times_sec(film: Film) -> list[Fraction]:
    """Return presentation times; a variable rate shows pictures for 1, 2 or 3 frame lengths."""
    times: list[Fraction] = []
    now = Fraction(0)
    for index in range(film.frame_count):
        times.append(now)
        now += ((1, 1, 2, 1, 3)[index % 5] if film.variable_rate else 1) / film.fps
    return times


def make_film(path: Path, film: Film | None = None) -> Path:
    """Encode `film` into `path` and return the path."""
    film = film or Film()
    with av.open(str(path), "w") as out:
        video = _video_stream(out, film)
        audio: AudioStream | None = None
        if film.audio_codec:
            made = out.add_stream(film.audio_codec, rate=film.sample_rate_hz)
            assert isinstance(made, AudioStream)
            audio = made
            audio.codec_context.layout = "stereo"
        samples = _sound(film)
        fed = 0
        for index, time_sec in enumerate(frame_times_sec(film)):
            frame = av.VideoFrame.from_ndarray(frame_picture(film, index), format="rgb24")
            time_base = film.time_base or 1 / film.fps
            frame.pts = round((time_sec + Fraction(film.video_delay_sec)) / time_base)
            frame.time_base = time_base
            out.mux(video.encode(frame))
            due = int((time_sec + 1 / film.fps) * film.sample_rate_hz)
            while audio is not None and fed < min(due, samples.shape[1]):
                fed = _feed(out, audio, samples, fed, film)
        out.mux(video.encode(None))
        if audio is not None:
            while fed < samples.shape[1]:
                fed = _feed(out, audio, samples, fed, film)
            out.mux(audio.encode(None))
    return path


def _video_stream(out: OutputContainer, film: Film) -> VideoStream:
    video = out.add_stream(film.video_codec, rate=film.fps)
    assert isinstance(video, VideoStream)
    video.width, video.height, video.pix_fmt = film.width, film.height, "yuv420p"
    video.codec_context.time_base = film.time_base or 1 / film.fps
    video.codec_context.gop_size = film.gop_frames
    video.codec_context.max_b_frames = film.b_frames
    video.bit_rate = film.bitrate_bps
    options: dict[str, str] = {}
    if film.video_codec == "libx264":
        params = f"scenecut=0:keyint={film.gop_frames}:min-keyint={film.gop_frames}:b-adapt=0"
        params += f":open-gop={int(film.open_gop)}:bframes={film.b_frames}"
        options = {"preset": "veryfast", "threads": "1", "x264-params": params}
    elif film.video_codec == "libx265":
        params = f"scenecut=0:keyint={film.gop_frames}:min-keyint={film.gop_frames}:pools=1"
        params += f":open-gop={int(film.open_gop)}:bframes={film.b_frames}:log-level=none"
        options = {"preset": "veryfast", "x265-params": params}
    video.codec_context.options = options
    return video


def _sound(film: Film) -> Samples:
    length_sec = film.audio_sec
    if length_sec is None:
        length_sec = float(frame_times_sec(film)[-1] + 1 / film.fps)
    time_sec = np.arange(int(length_sec * film.sample_rate_hz)) / film.sample_rate_hz
    tone = 0.3 * np.sin(2 * np.pi * (220 + 40 * np.floor(time_sec * 4)) * time_sec)
    return (tone * 32767).astype(np.int16)[None, :].repeat(2, axis=0)


def _feed(out: OutputContainer, audio: AudioStream, samples: Samples, fed: int, film: Film) -> int:
    size = audio.codec_context.frame_size or 1024
    block = np.ascontiguousarray(samples[:, fed : fed + size])
    frame = av.AudioFrame.from_ndarray(block, format="s16p", layout="stereo")
    frame.sample_rate = film.sample_rate_hz
    pts = fed + round(film.audio_delay_sec * film.sample_rate_hz)
    frame.pts, frame.time_base = pts, Fraction(1, film.sample_rate_hz)
    wanted = audio.codec_context.format.name
    if wanted != "s16p":
        (frame,) = AudioResampler(format=wanted, layout="stereo").resample(frame)
        frame.pts, frame.time_base = pts, Fraction(1, film.sample_rate_hz)
    out.mux(audio.encode(frame))
    return fed + int(block.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A decoded file: presentation times and contents of pictures and audio packets."""

    duration_sec: float
    picture_times_sec: list[float]
    picture_digests: list[str]
    audio_times_sec: list[float]
    audio_ends_sec: list[float]
    audio_samples: bytes
    audio_sample_bytes: int
    dts_rise: bool


def read_film(source: Path | bytes) -> Reading:
    """Decode a file from the first to the last packet; any error of the decoder raises."""
    opened = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    decode_times: dict[int, list[int]] = {}
    pictures: list[tuple[Fraction, str]] = []
    audio: list[tuple[Fraction, Fraction]] = []
    sound = bytearray()
    sample_bytes = 1
    with av.open(opened, "r") as container:
        for stream in container.streams.video:
            stream.thread_type = "NONE"
            stream.codec_context.options = {"err_detect": "explode"}
        for packet in container.demux():
            if packet.dts is not None:
                decode_times.setdefault(packet.stream_index, []).append(packet.dts)
            if packet.size and packet.stream.type == "audio" and packet.pts is not None:
                start = packet.pts * packet.time_base
                audio.append((start, start + (packet.duration or 0) * packet.time_base))
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    assert frame.pts is not None
                    assert frame.time_base is not None
                    digest = hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()
                    pictures.append((frame.pts * frame.time_base, digest))
                elif isinstance(frame, av.AudioFrame):
                    samples = frame.to_ndarray()
                    if frame.format.is_planar:
                        samples = samples.T
                    sound += np.ascontiguousarray(samples).tobytes()
                    sample_bytes = samples.itemsize * len(frame.layout.channels)
        zero = pictures[0][0]
        duration_sec = (container.duration or 0) / 1_000_000
    return Reading(
        duration_sec=duration_sec,
        picture_times_sec=[float(time - zero) for time, _ in pictures],
        picture_digests=[digest for _, digest in pictures],
        audio_times_sec=[float(start - zero) for start, _ in audio],
        audio_ends_sec=[float(end - zero) for _, end in audio],
        audio_samples=bytes(sound),
        audio_sample_bytes=sample_bytes,
        dts_rise=all(a < b for times in decode_times.values() for a, b in pairwise(times)),
    )


def unshared_samples(one: Reading, other: Reading) -> int:
    """Return how many samples at the ends are in only one of two decoded sounds.

    Containers differ in whether they record a codec's priming and padding. Anything that differs
    between the ends raises AssertionError.
    """
    if one.audio_samples == other.audio_samples:
        return 0
    size = one.audio_sample_bytes
    probe_at = 16_384 * size
    found_at = other.audio_samples.find(one.audio_samples[probe_at : probe_at + 8192 * size])
    assert found_at >= 0, "the sounds have nothing in common"
    before = min(probe_at, found_at)
    after = min(len(one.audio_samples) - probe_at, len(other.audio_samples) - found_at)
    shared = one.audio_samples[probe_at - before : probe_at + after]
    assert shared == other.audio_samples[found_at - before : found_at + after], "sounds differ"
    return (len(one.audio_samples) + len(other.audio_samples) - 2 * len(shared)) // size


def audio_payload_digest(source: Path | bytes) -> str:
    """Hash the coded audio, packets joined: the same however a demuxer groups it."""
    opened = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    digest = hashlib.sha256()
    with av.open(opened, "r") as container:
        for packet in container.demux(audio=0):
            digest.update(bytes(packet))
    return digest.hexdigest()


def rotate_quarter_turn(path: Path) -> None:
    """Rewrite the display matrix of an MP4's video track to a quarter turn."""
    data = bytearray(path.read_bytes())
    unturned = b"".join(
        value.to_bytes(4, "big") for value in (65536, 0, 0, 0, 65536, 0, 0, 0, 0x40000000)
    )
    turned = b"".join(
        value.to_bytes(4, "big", signed=True)
        for value in (0, 65536, 0, -65536, 0, 0, 120 << 16, 0, 0x40000000)
    )
    at = data.index(unturned, data.index(b"tkhd"))
    data[at : at + len(turned)] = turned
    path.write_bytes(data)
