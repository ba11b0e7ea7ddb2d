"""The evaluation transform is torchvision's, in two steps."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as reference

from runner.data.transform import Transform, eval_batch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def smooth_picture(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(width * height)
    small = random.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height))


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (64, 64), (1000, 37)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_eval_batch_equals_resize_crop_and_normalise(size, interpolation):
    transform = Transform(
        size=160, crop_fraction=0.875, mean=MEAN, std=STD, interpolation=interpolation
    )
    image = smooth_picture(*size)
    expected = reference.Compose(
        [
            reference.Resize(182, interpolation=reference.InterpolationMode(interpolation)),
            reference.CenterCrop(160),
            reference.ToTensor(),
            reference.Normalize(MEAN, STD),
        ]
    )(image)

    batch = eval_batch(torch.tensor(transform.square(image))[None], transform=transform)

    one_level = 1 / 255 / min(STD)  # Pillow may round a pixel the other way
    assert (batch[0] - expected).abs().max() <= one_level * 1.001
    assert (batch[0] - expected).abs().mean() < 1e-4


def test_eval_batch_is_channels_last_float():
    transform = Transform(size=8, crop_fraction=0.8, mean=MEAN, std=STD)
    pixels = torch.zeros(4, transform.resolution, transform.resolution, 3, dtype=torch.uint8)

    batch = eval_batch(pixels, transform=transform)

    assert batch.shape == (4, 3, 8, 8)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels, torch.zeros_like(pixels))


@pytest.mark.parametrize(
    ("size", "fraction", "expected"), [(224, 0.875, 256), (224, 0.95, 235), (64, 1.0, 64)]
)
def test_resolution_is_size_over_crop_fraction_rounded_down(size, fraction, expected):
    assert Transform(size=size, crop_fraction=fraction, mean=MEAN, std=STD).resolution == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpolation": "lanczos"}, "interpolation is 'lanczos'; allowed are bilinear"),
        ({"crop_fraction": 1.5}, r"crop_fraction 1.5; allowed are .* in \(0, 1\]"),
        ({"size": 0}, "size is 0"),
    ],
)
def test_transform_with_impossible_settings_is_refused(changes, message):
    settings = {"size": 8, "crop_fraction": 1.0, "mean": MEAN, "std": STD, **changes}

    with pytest.raises(ValueError, match=message):
        Transform(**settings)
