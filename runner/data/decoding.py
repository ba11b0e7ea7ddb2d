"""From encoded bytes to an upright RGB image, whatever the format hides.

Animated files give their first frame; transparency is laid over white; 16-bit and floating
images are scaled to 8 bits; EXIF orientation is applied.
"""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

DECODER_VERSION = 1  # raised when the same bytes would give other pixels: caches are keyed by it
_DRAFT_MARGIN = 2  # a reduced JPEG keeps twice the side asked for, so the resize hides it
_HAS_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")


class Unreadable(Exception):
    """These bytes do not decode to an image; the message is the reason, without a name."""


def decode(encoded: bytes, *, enough: int | None = None) -> Image.Image:
    """The picture in these bytes: upright, over white, RGB.

    Args:
        encoded: A whole file.
        enough: Shorter side in pixels that suffices; lets a JPEG be decoded smaller, but never
            below twice that. None decodes every pixel.
    Raises:
        Unreadable: If the file is empty, cut short, no image, or larger than PIL's limit.
    """
    if not encoded:
        raise Unreadable("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            _refuse_bomb(image)
            if enough is not None and image.format == "JPEG":
                image.draft("RGB", _draft_size(image.size, enough * _DRAFT_MARGIN))
            image.load()
            return _as_rgb(_upright(image))
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not an image that Pillow knows") from None
    except Image.DecompressionBombError as err:
        raise Unreadable(f"a decompression bomb: {err}") from err
    except Exception as err:
        raise Unreadable(f"{type(err).__name__}: {err}") from err


def _refuse_bomb(image: Image.Image) -> None:
    """Stop before pixels are allocated; Pillow itself only warns up to twice its limit."""
    limit, pixels = Image.MAX_IMAGE_PIXELS, image.width * image.height
    if limit is not None and pixels > limit:
        raise Unreadable(f"a decompression bomb: {pixels} pixels, the limit is {limit} (Pillow's)")


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
    if image.mode in _HAS_ALPHA or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    if image.mode == "F" or image.mode.startswith("I"):
        return _to_8_bits(image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """A 16-bit, 32-bit or floating grey image in 8 bits.

    Integers above 255 are read as 16-bit ones; floats in [0, 1] as fractions. Source: own.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    if image.mode.startswith("I;16") or (image.mode == "I" and values.max() > 255):
        values = values / 257.0
    elif image.mode == "F" and values.min() >= 0 and values.max() <= 1:
        values = values * 255.0
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
