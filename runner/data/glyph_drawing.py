"""Pictures of single glyphs, drawn so that a classifier has to work for them.

A picture is a function of the font, the code point, the seed and the index alone, bit for bit
on one version of Pillow. Source: own definition.
"""

import functools
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from runner.errors import DataError

DRAWING_VERSION = 1  # raised when the same index would give another picture
SIDE = 64  # pixels
# Ranges the drawings are taken from; chosen by trial so that a small network has to work.
_SIZE = (36, 53)  # of the font, pixels
_SHIFT = 5  # of the centre, pixels either way
_TURN = 20  # degrees either way
_CONTRAST = 60  # mean difference of ink and background a channel, of 255
_GRADIENT = 0.4  # how far the background goes from one colour to another
_LINES = (0, 3)
_BLUR = (0.0, 0.8)  # standard deviation, pixels
_NOISE = (3.0, 16.0)  # standard deviation, of 255


@functools.cache
def font_file() -> Path:
    """DejaVu Sans as matplotlib ships it, found without importing matplotlib.

    Raises:
        DataError: If matplotlib or its font is missing.
    """
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise DataError("the bundled glyphs need matplotlib's fonts: pip install matplotlib")
    path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    if not path.is_file():
        raise DataError(f"matplotlib's font {path} is missing; install matplotlib again")
    return path


@functools.cache
def font_digest() -> str:
    """SHA-256 of the font file."""
    return hashlib.sha256(font_file().read_bytes()).hexdigest()


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(), size, layout_engine=ImageFont.Layout.BASIC)


def draw_glyph(code_point: int, *, seed: int, index: int) -> Image.Image:
    """Picture number `index` of a glyph, RGB, 64x64.

    Position, size, rotation, stroke width, both colours, a gradient behind, stray lines in
    front, noise and blur are drawn from (seed, code point, index).
    """
    random = np.random.Generator(np.random.PCG64([DRAWING_VERSION, seed, code_point, index]))
    mask = _glyph_mask(chr(code_point), random)
    canvas = _background(random)
    ink = _ink(canvas, random)
    canvas = canvas * (1 - mask) + ink * mask
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    _scribble(image, random)
    image = image.filter(ImageFilter.GaussianBlur(random.uniform(*_BLUR)))
    noise = random.standard_normal((SIDE, SIDE, 3), dtype=np.float32)
    noisy = np.asarray(image, dtype=np.float32) + noise * np.float32(random.uniform(*_NOISE))
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _glyph_mask(character: str, random: np.random.Generator) -> np.ndarray:
    """Coverage of the ink, [64, 64, 1] float32 in [0, 1]."""
    size, stroke = int(random.integers(*_SIZE)), int(random.integers(0, 2))
    layer = Image.new("L", (SIDE, SIDE))
    x, y = SIDE / 2 + random.uniform(-_SHIFT, _SHIFT, 2)
    ImageDraw.Draw(layer).text(
        (x, y), character, fill=255, font=_font(size), anchor="mm", stroke_width=stroke
    )
    angle = random.uniform(-_TURN, _TURN)
    turned = layer.rotate(angle, Image.Resampling.BILINEAR, center=(x, y))
    return np.asarray(turned, dtype=np.float32)[:, :, None] / np.float32(255)


def _background(random: np.random.Generator) -> np.ndarray:
    """A colour that changes evenly from one corner to the other, [64, 64, 3] float32."""
    first, second = random.uniform(0, 255, (2, 3)).astype(np.float32)
    along = np.linspace(0, 1, SIDE, dtype=np.float32)
    weight = (along[:, None] + along[None, :])[:, :, None] * np.float32(_GRADIENT / 2)
    canvas: np.ndarray = first + (second - first) * weight
    return canvas


def _ink(canvas: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A colour of some contrast to the canvas; the last one tried if none has it."""
    mean = canvas.mean(axis=(0, 1))
    for _ in range(20):
        colour: np.ndarray = random.uniform(0, 255, 3).astype(np.float32)
        if np.abs(colour - mean).mean() > _CONTRAST:
            break
    return colour


def _scribble(image: Image.Image, random: np.random.Generator) -> None:
    """A few thin lines across the picture."""
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(*_LINES))):
        ends = tuple(int(value) for value in random.integers(0, SIDE, 4))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        draw.line(ends, fill=colour, width=int(random.integers(1, 3)))
