"""From encoded bytes to an upright RGB image, whatever the format hides.

Animated files give their first frame; transparency is laid over white; 16-bit and floating
images are scaled to 8 bits; EXIF orientation is applied. What a file is, its content says, not
its name; and of what it may be only `FORMATS` are tried.
"""

import io
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from runner.data.turns import Turns

DECODER_VERSION = 2  # raised when the same bytes would give other pixels: caches are keyed by it
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "HEIF", "JXL", "TGA",
)  # fmt: skip
"""What is read: the formats of `folder.IMAGE_SUFFIXES`, by Pillow's names. Each is decoded by
Pillow itself, or by a plugin of it; of the others EPS starts Ghostscript, and stubs start whatever
was registered for them. TGA has no signature, so it comes last."""

_DRAFT_MARGIN = 2  # a reduced JPEG keeps twice the side asked for, so the resize hides it
_HAS_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
# Of a pixel with alpha there are five copies of 4 bytes at the worst: as decoded, as RGBA, its
# white ground, both together, and RGB. So at most 2.5 GiB are in use, whatever the threads, unless
# data.max_megapixels lets pass a larger one, which is decoded alone: 3.3 GiB for 178 megapixels.
_TURNS = Turns(2**27)
_STRIP = 2**20  # values of a 16-bit image that are scaled at once: as float64 they take 8 bytes
_BYTES_OF_A_PIXEL = 8  # four channels of 16 bits
_BYTES_OF_THE_REST = 2**24  # metadata, colour profiles, previews

# `decode` refuses large images itself, and those that it was told to read are no news.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Unreadable(Exception):
    """These bytes do not decode to an image; the message is the reason, without a name."""


def decode(
    encoded: bytes, *, enough: int | None = None, max_pixels: int | None = None
) -> Image.Image:
    """The picture in these bytes: upright, over white, RGB.

    Waits where other threads decode so many pixels that memory might not do.

    Args:
        encoded: A whole file.
        enough: Shorter side in pixels that suffices; lets a JPEG be decoded smaller, but never
            below twice that. None decodes every pixel.
        max_pixels: More are refused before they are decoded; None: Pillow's limit.
    Raises:
        Unreadable: If the file is empty, cut short, no image of `FORMATS`, or too large.
    """
    if not encoded:
        raise Unreadable("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded), formats=_formats()) as image:
            _refuse_bomb(image, pixel_limit(max_pixels))
            if enough is not None and image.format == "JPEG":
                image.draft("RGB", _draft_size(image.size, enough * _DRAFT_MARGIN))
            with _TURNS.taken(image.width * image.height):
                image.load()
                return _as_rgb(_upright(image))
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not an image, or of none of the formats read") from None
    except Image.DecompressionBombError as err:
        raise Unreadable(
            f"a decompression bomb, or a photo too large to be read: {err} Scale it down"
        ) from err
    except Exception as err:
        raise Unreadable(f"{type(err).__name__}: {err}") from err


def pixel_limit(max_pixels: int | None) -> int | None:
    """The most pixels of an image: those asked for, else Pillow's limit; None: any number."""
    return Image.MAX_IMAGE_PIXELS if max_pixels is None else max_pixels


def byte_limit(max_pixels: int | None) -> int | None:
    """The most bytes of a file that holds one picture of so many pixels; None: any number.

    Args:
        max_pixels: As of `decode`.
    """
    limit = pixel_limit(max_pixels)
    return None if limit is None else limit * _BYTES_OF_A_PIXEL + _BYTES_OF_THE_REST


def _formats() -> list[str]:
    """Those of `FORMATS` that this Pillow has; of the others it would not know what to do."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _refuse_bomb(image: Image.Image, limit: int | None) -> None:
    """Stop before pixels are allocated; Pillow itself only warns up to twice its limit."""
    pixels = image.width * image.height
    if limit is not None and pixels > limit:
        raise Unreadable(
            f"a decompression bomb, or a large photo: {_mega(pixels)} megapixels, and the limit "
            f"is {_mega(limit)}. Scale it down, or raise data.max_megapixels"
        )


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:.4g}"


def _draft_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The smallest size of this shape whose shorter side is `side`."""
    shorter = min(size)
    return tuple(-(-edge * side // shorter) for edge in size)  # type: ignore[return-value]


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; damaged EXIF data leave it as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - the pixels are sound; only the metadata are not
        return image


def _as_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _to_8_bits(image).convert("RGB")
    if image.mode in _HAS_ALPHA or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """A 16-bit, 32-bit or floating grey image in 8 bits, its transparent value white.

    Integers above 255 are read as 16-bit ones; floats in [0, 1] as fractions. Source: own.
    """
    deep = np.asarray(image)
    times, over = _scale(image.mode, deep)
    clear = image.info.get("transparency")
    grey = np.empty(deep.shape, np.uint8)
    for rows, values in _strips(deep):
        grey[rows] = np.clip(np.rint(values * times / over), 0, 255)
        if isinstance(clear, int):
            grey[rows][deep[rows] == clear] = 255
    return Image.fromarray(grey)


def _scale(mode: str, deep: np.ndarray) -> tuple[float, float]:
    """What the values of a mode are multiplied with, and what they are divided by."""
    if mode.startswith("I;16"):
        return 1.0, 257.0
    ends = [(values.min(), values.max()) for _, values in _strips(deep)]
    lowest, highest = min(low for low, _ in ends), max(high for _, high in ends)
    if mode == "I" and highest > 255:
        return 1.0, 257.0
    return (255.0, 1.0) if mode == "F" and lowest >= 0 and highest <= 1 else (1.0, 1.0)


def _strips(deep: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows of an image [H, W] after the other, as finite float64."""
    height, width = deep.shape
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        rows = slice(top, top + step)
        yield rows, np.nan_to_num(deep[rows].astype(np.float64))
