"""From an image to the square that is stored, and from stored squares to a model's input.

Shapes: B examples, R stored resolution, S input size, both in pixels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
INTERPOLATIONS = tuple(_RESAMPLING)


@dataclass(frozen=True, kw_only=True)
class Transform:
    """How a model wants its images.

    Attributes:
        size: Side of the model's input, pixels.
        crop_fraction: Share of the resized shorter side that the centre crop keeps, in (0, 1].
        mean: Per-channel mean of pixels in [0, 1], RGB.
        std: Per-channel standard deviation, likewise.
        interpolation: bilinear, bicubic or nearest; of the resize before storing.
    """

    size: int
    crop_fraction: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in _RESAMPLING:
            allowed = ", ".join(_RESAMPLING)
            raise ValueError(f"interpolation is {self.interpolation!r}; allowed are {allowed}")
        if self.size < 1 or not 0 < self.crop_fraction <= 1:
            raise ValueError(
                f"size is {self.size} and crop_fraction {self.crop_fraction}; allowed are a size "
                "of at least 1 pixel and a crop fraction in (0, 1]"
            )

    @property
    def resolution(self) -> int:
        """Side of the stored square, pixels."""
        return math.floor(self.size / self.crop_fraction)

    def square(self, image: Image.Image) -> np.ndarray:
        """The centre square of an RGB image at the stored resolution, uint8 [R, R, 3]."""
        return centre_square(image, resolution=self.resolution, interpolation=self.interpolation)


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


def eval_batch(pixels: Tensor, *, transform: Transform) -> Tensor:
    """The centre crops of stored squares, normalised.

    Args:
        pixels: uint8 [B, R, R, 3], on any device.
        transform: Gives size, mean and std.
    Returns:
        float32 [B, 3, S, S] in channels_last memory format, on the same device.
    """
    start = round((pixels.shape[1] - transform.size) / 2)
    stop = start + transform.size
    crop = pixels[:, start:stop, start:stop].permute(0, 3, 1, 2)
    return normalise(crop.to(torch.float32, memory_format=torch.channels_last), transform)


def normalise(images: Tensor, transform: Transform) -> Tensor:
    """Pixels in [0, 255] as the model wants them; works in place on float32 [B, 3, S, S]."""
    mean = torch.tensor(transform.mean, device=images.device).view(1, 3, 1, 1) * 255.0
    std = torch.tensor(transform.std, device=images.device).view(1, 3, 1, 1) * 255.0
    return images.sub_(mean).div_(std)
