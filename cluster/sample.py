"""Make the sample film: a landscape with a clock, a frame number, and a tone that changes pitch.

Along the lower edge each picture carries its number as a bar code: 24 cells of equal width, from
left to right one white cell, one black cell, 20 bits (highest first, white is 1) and two check
bits, the parity of the bits at even and at odd places. `read_frame_number` reads it back, also from
scaled pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer

from cluster.canvas import Canvas, panel_sprite, text_sprite
from cluster.scenery import Scenery

_DATA_BITS = 20
_CELLS = _DATA_BITS + 4
_STRIP_SHARE = 45  # the bar code is 1/45 of the picture's height
_BLACK, _WHITE = 16, 235

_SAMPLE_RATE_HZ = 48_000
_AUDIO_BITRATE_BPS = 112_000
_GOP_SEC = 2
# Of the rate asked for, what the container's own bytes and rate control's slack may take.
_VIDEO_SHARE = 0.97
_VBV_SEC = 0.5
_TONE_STEP_SEC = 3
# A pentatonic melody: consecutive pitches never clash, and each step is audible.
_TONES_HZ = (261.6, 329.6, 392.0, 440.0, 523.3, 440.0, 587.3, 392.0, 659.3, 523.3)


def make_sample_film(
    path: Path,
    *,
    duration_sec: float = 120.0,
    width: int = 1280,
    height: int = 720,
    fps: int = 25,
    bitrate_bps: int = 1_600_000,
    seed: int = 1,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write the film as MP4 (H.264 with B-frames, closed 2 s groups, AAC).

    The rate holds over any 10 s too, so that equal cuts give chunks of equal size. The file appears
    at `path` complete or not at all. `progress` is called about once per second of film (0..1).
    `seed` decides the landscape; the coded bytes differ a little from run to run (rate control).
    """
    if width % 4 or height % 4 or min(width, height) < 96:
        raise ValueError(f"width and height must be multiples of 4 from 96 on: {width}x{height}")
    part_path = path.with_name(path.name + ".part")
    try:
        with av.open(str(part_path), "w", format="mp4") as out:
            frames = max(1, round(duration_sec * fps))
            _encode(out, _Pictures(width, height, frames, fps, seed), fps, bitrate_bps, progress)
        part_path.replace(path)
    finally:
        part_path.unlink(missing_ok=True)


def read_frame_number(rgb: npt.NDArray[np.uint8]) -> int:
    """Return the number in the bar code of a picture (height, width, 3).

    Raises ValueError when there is no such code, or when it fails its check bits.
    """
    height, width = rgb.shape[:2]
    strip = max(1, height // _STRIP_SHARE)
    top = height - strip + strip // 4
    rows = rgb[top : max(top + 1, height - strip // 4)].mean(axis=(0, 2))
    edges = [width * cell / _CELLS for cell in range(_CELLS + 1)]
    levels = [
        float(rows[int(left + (right - left) / 4) : int(right - (right - left) / 4) + 1].mean())
        for left, right in pairwise(edges)
    ]
    white, black = levels[0], levels[1]
    if white - black < 64:
        raise ValueError("the picture carries no frame number")
    bits = [level > (white + black) / 2 for level in levels[2:]]
    data = bits[:_DATA_BITS]
    if [sum(data[::2]) % 2, sum(data[1::2]) % 2] != bits[_DATA_BITS:]:
        raise ValueError("the picture's frame number is damaged")
    return int("".join(str(int(bit)) for bit in data), 2)


def _draw_frame_number(canvas: Canvas, number: int) -> None:
    data = [number >> shift & 1 for shift in reversed(range(_DATA_BITS))]
    cells = [1, 0, *data, sum(data[::2]) % 2, sum(data[1::2]) % 2]
    top = canvas.height - max(1, canvas.height // _STRIP_SHARE)
    for index, cell in enumerate(cells):
        left = round(canvas.width * index / _CELLS)
        right = round(canvas.width * (index + 1) / _CELLS)
        canvas.y[top:, left:right] = _WHITE if cell else _BLACK
    canvas.u[top // 2 :] = 128
    canvas.v[top // 2 :] = 128


def _draw_captions(canvas: Canvas, number: int, time_sec: float) -> None:
    unit = canvas.height / 720
    big, small = max(12, round(72 * unit)), max(8, round(22 * unit))
    left, top = round(36 * unit), round(32 * unit)
    digit_px = max(text_sprite(digit, big).y.shape[1] for digit in "0123456789")
    narrow_px = digit_px // 2
    clock = f"{int(time_sec) // 60:02d}:{time_sec % 60:04.1f}"
    wide = sum(digit_px if sign.isdigit() else narrow_px for sign in clock)
    canvas.put(panel_sprite(wide + round(52 * unit), round(148 * unit)), left, top)
    x = left + round(26 * unit)
    for sign in clock:
        room = digit_px if sign.isdigit() else narrow_px
        glyph = text_sprite(sign, big)
        canvas.put(glyph, x + (room - glyph.y.shape[1]) // 2, top + round(14 * unit))
        x += room
    tone = f"{_tone_hz(time_sec):.0f} Hz"
    line_top = top + round(104 * unit)
    canvas.put(text_sprite(tone, small, 0.85), x - text_sprite(tone, small).y.shape[1], line_top)
    x = left + round(26 * unit)
    digit_px = max(text_sprite(digit, small).y.shape[1] for digit in "0123456789")
    for sign in f"frame {number:05d}":
        glyph = text_sprite(sign, small, 0.85)
        canvas.put(glyph, x, line_top)
        x += digit_px if sign.isdigit() else glyph.y.shape[1]


def _tone_hz(time_sec: float) -> float:
    return _TONES_HZ[int(time_sec / _TONE_STEP_SEC) % len(_TONES_HZ)]


def _sound(first_sample: int, count: int) -> npt.NDArray[np.float32]:
    """Return a stretch of the tone: a soft organ note per step, which fades in and out."""
    time_sec = (first_sample + np.arange(count, dtype=np.float64)) / _SAMPLE_RATE_HZ
    step = np.floor(time_sec / _TONE_STEP_SEC).astype(np.int64)
    within = time_sec - step * _TONE_STEP_SEC
    pitch = np.array(_TONES_HZ)[step % len(_TONES_HZ)]
    note = np.zeros(count)
    for harmonic, level in ((1, 0.6), (2, 0.22), (3, 0.1), (0.5, 0.2)):
        note += level * np.sin(2 * np.pi * pitch * harmonic * within)
    fade = np.clip(np.minimum(within / 0.05, (_TONE_STEP_SEC - within) / 0.30), 0, 1)
    note *= 0.22 * fade * (0.55 + 0.45 * np.exp(-within))
    return note.astype(np.float32)


class _Pictures:
    """The film's pictures in order, each drawn while the one before it is encoded."""

    def __init__(self, width: int, height: int, count: int, fps: int, seed: int) -> None:
        self.width, self.height, self.count = width, height, count
        self._fps = fps
        self._scenery = Scenery(width, height, seed)

    def __iter__(self) -> Iterator[Canvas]:
        canvases = [Canvas(self.width, self.height) for _ in range(2)]
        with ThreadPoolExecutor(max_workers=1) as painter:
            coming = painter.submit(self._draw, canvases[0], 0)
            for number in range(1, self.count + 1):
                canvas = coming.result()
                if number < self.count:
                    coming = painter.submit(self._draw, canvases[number % 2], number)
                yield canvas

    def _draw(self, canvas: Canvas, number: int) -> Canvas:
        time_sec = number / self._fps
        self._scenery.draw(canvas, number, number / max(1, self.count - 1), time_sec)
        _draw_captions(canvas, number, time_sec)
        _draw_frame_number(canvas, number)
        return canvas


def _encode(
    out: OutputContainer,
    pictures: _Pictures,
    fps: int,
    bitrate_bps: int,
    progress: Callable[[float], None] | None,
) -> None:
    video_bps = int(max(bitrate_bps - _AUDIO_BITRATE_BPS, bitrate_bps // 2) * _VIDEO_SHARE)
    video = out.add_stream("libx264", rate=fps)
    video.width, video.height, video.pix_fmt = pictures.width, pictures.height, "yuv420p"
    video.bit_rate = video_bps
    video.gop_size = _GOP_SEC * fps
    video.codec_context.options = {
        "preset": "veryfast",
        "profile": "high",
        "bf": "2",
        "maxrate": str(video_bps),
        "bufsize": str(int(video_bps * _VBV_SEC)),
        "threads": "2",
        "x264-params": "scenecut=0:open-gop=0:colorprim=bt709:transfer=bt709:colormatrix=bt709",
    }
    audio = out.add_stream("aac", rate=_SAMPLE_RATE_HZ)
    audio.bit_rate = _AUDIO_BITRATE_BPS
    audio.codec_context.layout = "stereo"
    fed = 0
    for number, canvas in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(canvas.planes, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, fps)
        out.mux(video.encode(frame))
        due = (number + 1) * _SAMPLE_RATE_HZ // fps
        last = number + 1 == pictures.count
        for block in _audio_frames(audio, fed, due, last):
            out.mux(audio.encode(block))
            fed += block.samples
        if progress is not None and (number % fps == 0 or last):
            progress((number + 1) / pictures.count)
    out.mux(video.encode(None))
    out.mux(audio.encode(None))


def _audio_frames(audio: AudioStream, fed: int, due: int, last: bool) -> Iterator[av.AudioFrame]:
    size = audio.codec_context.frame_size or 1024
    while fed + size <= due or (last and fed < due):
        count = min(size, due - fed)
        samples = np.repeat(_sound(fed, count)[None, :], 2, axis=0)
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        block.sample_rate = _SAMPLE_RATE_HZ
        block.pts, block.time_base = fed, Fraction(1, _SAMPLE_RATE_HZ)
        yield block
        fed += count
