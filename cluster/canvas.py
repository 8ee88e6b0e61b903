"""Pictures as YUV planes, sprites with transparency, and text.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Plane = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Rgb = tuple[float, float, float]


class Sprite(NamedTuple):
    """A picture with transparency, one set of planes at full and one at half resolution."""

    y: Plane
    u: Plane
    v: Plane
    alpha: Plane
    half_alpha: Plane


def to_yuv(rgb: Rgb) -> Rgb:
    """Convert a colour to limited-range BT.709."""
    r, g, b = (part / 255 for part in rgb)
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    return 16 + 219 * luma, 128 + 224 * (b - luma) / 1.8556, 128 + 224 * (r - luma) / 1.5748


def sprite_of(image: Image.Image) -> Sprite:
    """Convert an RGBA image, padded to an even size."""
    width, height = (image.width + 1) // 2 * 2, (image.height + 1) // 2 * 2
    canvas = Image.new("RGBA", (width, height))
    canvas.paste(image)
    pixels = np.asarray(canvas, dtype=np.float32)
    # The conversion is linear: applied to the axes, it gives the matrix.
    black = np.array(to_yuv((0, 0, 0)), dtype=np.float32)
    axes = [to_yuv(axis) for axis in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    matrix = (np.array(axes, dtype=np.float32) - black) / np.float32(255)
    y, u, v = np.moveaxis(pixels[..., :3] @ matrix + black, 2, 0)
    alpha = pixels[..., 3]

    def half(plane: Floats) -> Plane:
        means = plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
        return np.asarray(means, dtype=np.uint8)

    return Sprite(y.astype(np.uint8), half(u), half(v), alpha.astype(np.uint8), half(alpha))


def _blend(plane: Plane, sprite: Plane, alpha: Plane, x: int, y: int) -> None:
    height, width = plane.shape
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(sprite.shape[0], height - y), min(sprite.shape[1], width - x)
    if bottom <= top or right <= left:
        return
    under = plane[y + top : y + bottom, x + left : x + right]
    cover = alpha[top:bottom, left:right].astype(np.uint16)
    mixed = sprite[top:bottom, left:right] * cover + under * (255 - cover)
    under[:] = (mixed + 127) // 255


class Canvas:
    """One YUV 4:2:0 picture; `planes` is the array libav takes as yuv420p."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.planes: Plane = np.zeros((height * 3 // 2, width), dtype=np.uint8)
        self.y = self.planes[:height]
        quarter = self.planes[height:].reshape(2, height // 2, width // 2)
        self.u, self.v = quarter[0], quarter[1]

    def put(self, sprite: Sprite, x: int, y: int) -> None:
        """Draw a sprite with its upper left corner at x, y."""
        _blend(self.y, sprite.y, sprite.alpha, x, y)
        _blend(self.u, sprite.u, sprite.half_alpha, x // 2, y // 2)
        _blend(self.v, sprite.v, sprite.half_alpha, x // 2, y // 2)


@lru_cache(maxsize=256)
def text_sprite(text: str, size_px: int, opacity: float = 1.0) -> Sprite:
    """Return a line of white text, as wide as its advance, so that lines of glyphs join."""
    font = ImageFont.load_default(size_px)
    image = Image.new("RGBA", (max(2, int(font.getlength(text) + 1)), size_px * 5 // 4))
    ImageDraw.Draw(image).text((0, 0), text, font=font, fill=(255, 255, 255, int(255 * opacity)))
    return sprite_of(image)


@lru_cache(maxsize=8)
def panel_sprite(width: int, height: int) -> Sprite:
    """Return a dark translucent panel with round corners."""
    image = Image.new("RGBA", (width * 2, height * 2), (10, 14, 28, 0))
    box = (0, 0, width * 2 - 1, height * 2 - 1)
    ImageDraw.Draw(image).rounded_rectangle(box, radius=height // 4, fill=(10, 14, 28, 150))
    return sprite_of(image.resize((width, height), Image.Resampling.LANCZOS))
