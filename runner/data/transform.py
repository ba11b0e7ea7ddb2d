"""From an image to the square that is stored, and from stored squares to a model's input.

Shapes: B examples, R stored resolution, S input size, both in pixels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from runner.data.squares import INTERPOLATIONS, centre_square


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
        if self.interpolation not in INTERPOLATIONS:
            allowed = ", ".join(INTERPOLATIONS)
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
