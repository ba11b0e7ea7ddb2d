"""Random views of a whole batch at once, on whatever device the batch is.

A view is decided by fourteen random numbers, drawn on the CPU: `random_draws`. Geometry is one
affine `grid_sample`.

Shapes: B examples, R stored resolution, S input size.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.data.transform import Transform, eval_batch, normalise

_RATIO = (3 / 4, 4 / 3)  # of width to height; Inception's, as torchvision and timm have it
_DRAWS = 14  # random numbers an example
_ERASE_SHARE = 0.25  # of the examples; timm's usual setting
_ERASE_AREA = (0.02, 0.2)
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma


@dataclass(frozen=True)
class Strength:
    """How far an augmentation goes.

    Attributes:
        area: Smallest and largest share of the square that a crop shows.
        rotation_degrees: Largest angle either way.
        jitter: Largest relative change of brightness, contrast and saturation.
        is_erasing: Whether a rectangle is blanked in a quarter of the examples.
    """

    area: tuple[float, float]
    rotation_degrees: float = 0.0
    jitter: float = 0.0
    is_erasing: bool = False


STRENGTHS = {
    "light": Strength(area=(0.7, 1.0)),
    "medium": Strength(area=(0.7, 1.0), rotation_degrees=10.0, jitter=0.2),
    "strong": Strength(area=(0.35, 1.0), rotation_degrees=15.0, jitter=0.4, is_erasing=True),
}
AUGMENTATIONS = ("none", *STRENGTHS)


def random_draws(count: int, generator: torch.Generator) -> Tensor:
    """What decides so many views: uniform numbers in [0, 1), [14, count] float32.

    Args:
        count: Number of views.
        generator: A CPU generator.
    """
    return torch.rand(_DRAWS, count, generator=generator)


def train_batch(
    pixels: Tensor,
    *,
    transform: Transform,
    augmentation: str,
    draws: Tensor | None,
    flip: bool = True,
) -> Tensor:
    """Random views of stored squares, normalised.

    Args:
        pixels: uint8 [B, R, R, 3], on any device.
        transform: Gives size, mean and std.
        augmentation: none (the evaluation transform), light (random resized crop and flip),
            medium (also rotation and colour jitter) or strong (wider, and random erasing).
        draws: What `random_draws` gave, [14, B], on the CPU; `none` needs none.
        flip: Whether half of the views are mirrored; False where a source says that is unsafe.
    Returns:
        float32 [B, 3, S, S] in channels_last memory format, on the same device.
    Raises:
        ValueError: If there is no such augmentation, or it lacks its random numbers.
    """
    if augmentation == "none":
        return eval_batch(pixels, transform=transform)
    if augmentation not in STRENGTHS:
        raise ValueError(f"augmentation is {augmentation!r}; allowed are {AUGMENTATIONS}")
    if draws is None or draws.shape != (_DRAWS, len(pixels)):
        raise ValueError(f"{len(pixels)} views are decided by draws of [{_DRAWS}, {len(pixels)}]")
    strength = STRENGTHS[augmentation]
    theta = _geometry(draws[:6], strength, flip=flip).to(pixels.device)
    images = pixels.permute(0, 3, 1, 2).float()
    size = [len(pixels), 3, transform.size, transform.size]
    grid = F.affine_grid(theta, size, align_corners=False)
    views = F.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    if strength.jitter:
        views = _jittered(views, draws[6:9], strength.jitter)
    views = normalise(views, transform)
    if strength.is_erasing:
        _erase(views, draws[9:14])
    return views.contiguous(memory_format=torch.channels_last)


def _between(draws: Tensor, low: float, high: float) -> Tensor:
    return low + draws * (high - low)


def _geometry(draws: Tensor, strength: Strength, *, flip: bool) -> Tensor:
    """Affine maps from a view to its square, [B, 2, 3], in coordinates of [-1, 1]."""
    area = _between(draws[0], *strength.area)
    ratio = torch.exp(_between(draws[1], math.log(_RATIO[0]), math.log(_RATIO[1])))
    width = torch.sqrt(area * ratio).clamp(max=1.0)
    height = torch.sqrt(area / ratio).clamp(max=1.0)
    x = (draws[2] * 2 - 1) * (1 - width)
    y = (draws[3] * 2 - 1) * (1 - height)
    mirror = torch.where(draws[4] < 0.5, -1.0, 1.0) if flip else torch.ones_like(x)
    angle = (draws[5] * 2 - 1) * math.radians(strength.rotation_degrees)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [width * mirror * cos, -height * sin, x, width * mirror * sin, height * cos, y]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _jittered(views: Tensor, draws: Tensor, jitter: float) -> Tensor:
    """Brightness, contrast and saturation changed, as one 3x3 matrix and offset an example.

    Args:
        views: Pixels in [0, 255], float32 [B, 3, S, S], contiguous.
        draws: Numbers in [0, 1), [3, B].
        jitter: Largest relative change.
    """
    brightness, contrast, saturation = 1 + (draws * 2 - 1).to(views.device) * jitter
    grey = torch.tensor(_GREY, device=views.device)
    flat = views.flatten(2)
    mean_grey = torch.einsum("bcn,c->b", flat, grey) / flat.shape[2]
    keep = torch.eye(3, device=views.device) * saturation[:, None, None]
    to_grey = grey.expand(3, 3) * (1 - saturation)[:, None, None]
    matrix = (keep + to_grey) * (brightness * contrast)[:, None, None]
    offset = (1 - contrast) * brightness * mean_grey
    changed = torch.baddbmm(offset[:, None, None], matrix, flat)
    return changed.clamp_(0.0, 255.0).view_as(views)


def _erase(views: Tensor, draws: Tensor) -> None:
    """Blank one rectangle (to the mean) in a quarter of the examples, in place.

    Source: Zhong et al. 2020, Random Erasing Data Augmentation.
    """
    side = views.shape[-1]
    area = _between(draws[1], *_ERASE_AREA)
    ratio = torch.exp(_between(draws[2], math.log(0.3), math.log(1 / 0.3)))
    width, height = (
        torch.sqrt(area * ratio).clamp(max=0.9),
        torch.sqrt(area / ratio).clamp(max=0.9),
    )
    left, top = draws[3] * (1 - width), draws[4] * (1 - height)
    at = (torch.arange(side) + 0.5) / side
    is_erased = (draws[0] < _ERASE_SHARE)[:, None]
    columns = (at >= left[:, None]) & (at < (left + width)[:, None]) & is_erased
    rows = (at >= top[:, None]) & (at < (top + height)[:, None])
    mask = (rows[:, None, :, None] & columns[:, None, None, :]).to(views.device)
    views.masked_fill_(mask, 0.0)
