"""The square of an image that is stored; without torch, so that the driver may import it."""

import numpy as np
from PIL import Image

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
INTERPOLATIONS = tuple(_RESAMPLING)


def centre_square(image: Image.Image, *, resolution: int, interpolation: str) -> np.ndarray:
    """The shorter side scaled to `resolution` and the centre cut out, uint8 [R, R, 3].

    One resize of the part that is kept; what would be cut off is never computed.
    """
    width, height = image.size
    shorter = min(width, height)
    long_side = int(resolution * max(width, height) / shorter)
    offset = round((long_side - resolution) / 2) * max(width, height) / long_side
    kept = resolution * max(width, height) / long_side
    last = min(offset + kept, max(width, height))
    box = (offset, 0.0, last, shorter) if width > height else (0.0, offset, shorter, last)
    square = image.resize((resolution, resolution), _RESAMPLING[interpolation], box=box)
    return np.asarray(square, dtype=np.uint8)
