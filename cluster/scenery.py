"""Draw the sample film's pictures straight into YUV planes: a lake, mountains, balloons, a day.

No I/O, no clock, no randomness beyond the seed: a picture is a function of its time.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from cluster.canvas import Canvas, Floats, Plane, Rgb, Sprite, sprite_of, to_yuv

# The day's light: part of the film, sky at the top, sky at the horizon, nearest mountains.
_DAY: tuple[tuple[float, Rgb, Rgb, Rgb], ...] = (
    (0.00, (38, 44, 104), (255, 158, 116), (30, 26, 62)),
    (0.30, (52, 118, 202), (255, 214, 178), (22, 46, 74)),
    (0.55, (40, 124, 214), (198, 230, 250), (20, 58, 76)),
    (0.80, (66, 88, 168), (255, 190, 120), (44, 38, 76)),
    (1.00, (40, 30, 84), (255, 116, 92), (28, 18, 54)),
)
_SUN: Rgb = (255, 238, 196)
_BALLOONS: tuple[tuple[Rgb, Rgb], ...] = (
    ((226, 62, 54), (255, 214, 92)),
    ((36, 120, 168), (246, 246, 238)),
    ((242, 140, 40), (120, 44, 110)),
)
_LAYERS = 4
_PERIOD = 4096  # pixels after which a mountain range repeats
_SKY_REFRESH_FRAMES = 4  # the light moves less than a grey level in between


def _mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


class Scenery:
    """The landscape at any time of the film."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self._width, self._height = width, height
        self._scale = height / 720
        self._horizon = height * 5 // 7 // 2 * 2
        rng = np.random.default_rng(seed)
        self._ridges = [self._ridge(rng, layer) for layer in range(_LAYERS)]
        self._dither: Floats = rng.random((height, width), dtype=np.float32)
        self._clouds = [_cloud(rng, self._scale) for _ in range(4)]
        self._cloud_places = rng.random((4, 2))
        self._balloons = [
            _balloon(colours, self._scale * size)
            for colours, size in zip(_BALLOONS, (1.0, 0.62, 0.42), strict=True)
        ]
        self._sky: tuple[int, list[Plane]] | None = None

    def draw(self, canvas: Canvas, frame: int, part: float, time_sec: float) -> None:
        """Draw the picture at `time_sec`, the film being played to `part` (0..1)."""
        top, low, near = self._light(part)
        sun_x = self._width * (0.14 + 0.72 * part)
        sun_y = self._horizon * (0.90 - 0.74 * np.sin(np.pi * (0.06 + 0.88 * part)))
        if self._sky is None or self._sky[0] != frame // _SKY_REFRESH_FRAMES:
            self._sky = (frame // _SKY_REFRESH_FRAMES, self._draw_sky(top, low, sun_x, sun_y))
        horizon = self._horizon
        for plane, sky in zip((canvas.y, canvas.u, canvas.v), self._sky[1], strict=True):
            plane[: sky.shape[0]] = sky
        for cloud, (x, y) in zip(self._clouds, self._cloud_places, strict=True):
            span = self._width + 500 * self._scale
            left = (x * span + time_sec * (6 + 8 * y) * self._scale) % span - 480 * self._scale
            canvas.put(cloud, int(left), int((0.08 + 0.34 * y) * horizon))
        for layer in range(_LAYERS):
            if layer == _LAYERS - 1:
                self._draw_balloons(canvas, time_sec)
            share = (layer + 1) / _LAYERS
            self._draw_ridge(canvas, layer, time_sec, _mix(low, near, share**0.8), low)
        self._draw_water(canvas, time_sec, sun_x, near)

    @staticmethod
    def _light(part: float) -> tuple[Rgb, Rgb, Rgb]:
        for before, after in pairwise(_DAY):
            if part <= after[0]:
                share = max(0.0, (part - before[0]) / (after[0] - before[0]))
                return (
                    _mix(before[1], after[1], share),
                    _mix(before[2], after[2], share),
                    _mix(before[3], after[3], share),
                )
        return _DAY[-1][1:]

    def _draw_sky(self, top: Rgb, low: Rgb, sun_x: float, sun_y: float) -> list[Plane]:
        planes: list[Plane] = []
        for index, step in enumerate((1, 2, 2)):
            rows = np.arange(0, self._horizon, step, dtype=np.float32)
            columns = np.arange(0, self._width, step, dtype=np.float32)
            share = (rows / self._horizon) ** np.float32(1.4)
            start, end, sun = to_yuv(top)[index], to_yuv(low)[index], to_yuv(_SUN)[index]
            slope = (start + (end - start) * share).astype(np.float32)
            sky = np.repeat(slope[:, None], len(columns), axis=1)
            for width, strength in ((330.0, 0.50), (110.0, 0.45)):
                sigma = width * self._scale
                across = np.exp(-(((columns - sun_x) / sigma) ** 2) / 2).astype(np.float32)
                down = strength * np.exp(-(((rows - sun_y) / sigma) ** 2) / 2)
                glow = down.astype(np.float32)[:, None] * across
                sky += (np.float32(sun) - sky) * glow
            radius = 34 * self._scale
            reach = int(radius / step) + 2
            y, x = int(sun_y / step), int(sun_x / step)
            near = (slice(max(0, y - reach), y + reach), slice(max(0, x - reach), x + reach))
            distance = np.hypot((rows[near[0]] - sun_y)[:, None], columns[near[1]] - sun_x)
            sky[near] += (sun - sky[near]) * np.clip((radius - distance) / step + 0.5, 0, 1)
            sky += self._dither[: len(rows), : len(columns)]
            # Colours stay within 16..240, so that no clipping is needed.
            planes.append(sky.astype(np.uint8))
        return planes

    def _ridge(self, rng: np.random.Generator, layer: int) -> Floats:
        """Return the height of the range above the horizon for each column, in pixels."""
        x = np.arange(_PERIOD, dtype=np.float64) / _PERIOD * 2 * np.pi
        height: npt.NDArray[np.float64] = np.zeros(_PERIOD)
        for octave, waves in enumerate((3, 5, 9, 17, 34, 71, 140)):
            wave = np.sin(x * (waves + layer) + rng.random() * 2 * np.pi)
            # Folded sines have creases: peaks instead of hills, for the ranges far away.
            fold = np.where(layer < 2, 1 - 2 * np.abs(wave), wave)
            height += np.asarray(fold * 0.58**octave, dtype=np.float64)
        share = (height - height.min()) / (height.max() - height.min())
        low, high = ((0.16, 0.52), (0.10, 0.38), (0.05, 0.24), (0.01, 0.12))[layer]
        ridge = (low + (high - low) * share) * self._horizon
        return np.tile(ridge, 2).astype(np.float32)

    def _draw_ridge(
        self, canvas: Canvas, layer: int, time_sec: float, colour: Rgb, haze: Rgb
    ) -> None:
        offset = time_sec * (4, 9, 18, 34)[layer] * self._scale % _PERIOD
        start = int(offset)
        heights = self._ridges[layer]
        tops = self._horizon - (
            heights[start : start + self._width] * (1 - (offset - start))
            + heights[start + 1 : start + 1 + self._width] * (offset - start)
        )
        crest, foot = to_yuv(colour), to_yuv(_mix(colour, haze, 0.42))
        planes = (canvas.y, canvas.u, canvas.v)
        for index, (plane, step) in enumerate(zip(planes, (1, 2, 2), strict=True)):
            edge = tops[::step] / step
            whole = np.ceil(edge).astype(np.int32)
            first, last = int(whole.min()), self._horizon // step
            rows = np.arange(first, last)
            share = np.clip((rows - first) / max(1, last - first), 0, 1)
            shade = (crest[index] + (foot[index] - crest[index]) * share).astype(np.uint8)
            mask = rows[:, None] >= whole[None, :]
            np.copyto(plane[first:last], shade[:, None], where=mask)
            columns = np.arange(len(edge))
            above = np.maximum(whole - 1, 0)
            cover = whole - edge
            under = plane[above, columns]
            plane[above, columns] = under + (crest[index] - under) * cover

    def _draw_balloons(self, canvas: Canvas, time_sec: float) -> None:
        for index, balloon in enumerate(self._balloons):
            span = self._width + 2 * balloon.y.shape[1]
            speed = (15, 10, 7)[index] * self._scale
            x = (self._width * (0.58, 0.82, 0.36)[index] + speed * time_sec) % span
            bob = np.sin(time_sec * (0.5, 0.4, 0.3)[index] + index) * 12 * self._scale
            y = self._horizon * (0.20, 0.34, 0.28)[index] + bob
            canvas.put(balloon, int(x) - balloon.y.shape[1], int(y))

    def _draw_water(self, canvas: Canvas, time_sec: float, sun_x: float, near: Rgb) -> None:
        tint = to_yuv(near)
        planes = (canvas.y, canvas.u, canvas.v)
        for index, (plane, step) in enumerate(zip(planes, (1, 2, 2), strict=True)):
            horizon = self._horizon // step
            depth = np.arange(plane.shape[0] - horizon, dtype=np.float32) * step / self._scale
            wave = np.sin(0.9 * np.sqrt(depth + 4) * 4 - 2.2 * time_sec) * (0.6 + depth / 34)
            wave += np.sin(depth * 0.21 + 1.3 * time_sec) * depth / 60
            rows = horizon - 1 - (depth * 1.25 + wave) * self._scale / step
            mirror = plane[np.clip(rows, 0, horizon - 1).astype(np.intp)]
            share = np.float32(0.30) + np.float32(0.25) * depth / max(1.0, float(depth[-1]))
            keep = (256 * (1 - share)).astype(np.uint16)[:, None]
            add = (tint[index] * share * 256).astype(np.uint16)[:, None]
            plane[horizon:] = (mirror * keep + add) >> 8
        columns = np.arange(self._width, dtype=np.float32)
        below = np.arange(self._height - self._horizon, dtype=np.float32) / self._scale
        spread = (60 + below * 0.9) * self._scale
        ripple = np.clip(np.sin(below * 0.55 - 3 * time_sec + 9 * np.sin(below * 0.13)), 0, 1)
        column = np.exp(-(((columns[None, :] - sun_x) / spread[:, None]) ** 2))
        glitter = (column * (58 * ripple)[:, None]).astype(np.uint8)
        water = canvas.y[self._horizon :]
        np.minimum(water, 235 - glitter, out=water)
        water += glitter


def _cloud(rng: np.random.Generator, scale: float) -> Sprite:
    width, height = int(460 * scale), int(130 * scale)
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    for _ in range(16):
        x = width * (0.2 + 0.6 * rng.random())
        radius = height * (0.12 + 0.16 * rng.random())
        y = height * 0.62 - radius * rng.random()
        pen.ellipse((x - radius * 2, y - radius * 0.8, x + radius * 2, y + radius * 0.8), fill=150)
    mask = mask.filter(ImageFilter.GaussianBlur(max(1.0, 11 * scale)))
    cloud = Image.new("RGBA", (width, height), (255, 246, 238, 255))
    cloud.putalpha(mask)
    return sprite_of(cloud)


def _balloon(colours: tuple[Rgb, Rgb], scale: float) -> Sprite:
    fine = 4  # drawn four times as large: that smooths the edges
    unit = scale * fine
    width, height = int(150 * unit), int(210 * unit)
    image = Image.new("RGBA", (width, height))
    pen = ImageDraw.Draw(image)
    middle, radius = width / 2, 70 * unit
    for index in range(7, 0, -1):
        reach = radius * np.sin(np.pi / 2 * index / 7)
        shade = 0.78 + 0.22 * (1 - index / 7)
        r, g, b = (int(part * shade) for part in colours[index % 2])
        pen.ellipse((middle - reach, 4 * unit, middle + reach, 144 * unit), fill=(r, g, b, 255))
        skirt = [
            (middle - reach * 0.93, 98 * unit),
            (middle + reach * 0.93, 98 * unit),
            (middle + reach * 0.20, 168 * unit),
            (middle - reach * 0.20, 168 * unit),
        ]
        pen.polygon(skirt, fill=(r, g, b, 255))
    for side in (-1, 1):
        rope = (middle + side * 13 * unit, 166 * unit, middle + side * 9 * unit, 188 * unit)
        pen.line(rope, fill=(60, 44, 40, 255), width=max(1, int(1.6 * unit)))
    basket = (middle - 11 * unit, 186 * unit, middle + 11 * unit, 202 * unit)
    pen.rounded_rectangle(basket, radius=3 * unit, fill=(110, 70, 44, 255))
    small = (max(2, width // fine), max(2, height // fine))
    return sprite_of(image.resize(small, Image.Resampling.LANCZOS))
