"""Random views: deterministic, within bounds, and nothing turned that must not be."""

import pytest
import torch

from runner.data.augmentation import AUGMENTATIONS, random_draws, train_batch
from runner.data.transform import Transform, eval_batch

PLAIN = Transform(size=32, crop_fraction=0.875, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
R = PLAIN.resolution


def views(pixels: torch.Tensor, augmentation: str, *, seed: int = 0, **options) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    draws = random_draws(len(pixels), generator)
    return train_batch(pixels, transform=PLAIN, augmentation=augmentation, draws=draws, **options)


@pytest.fixture
def pixels() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (16, R, R, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_train_batch_gives_channels_last_floats_and_leaves_the_pixels(pixels, augmentation):
    before = pixels.clone()

    batch = views(pixels, augmentation)

    assert batch.shape == (16, 3, 32, 32)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.isfinite().all()
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("augmentation", ["light", "medium", "strong"])
def test_train_batch_is_decided_by_the_generator(pixels, augmentation):
    assert torch.equal(views(pixels, augmentation), views(pixels, augmentation))
    assert not torch.equal(views(pixels, augmentation), views(pixels, augmentation, seed=1))


@pytest.mark.parametrize("augmentation", ["light", "medium", "strong"])
def test_each_example_gets_a_view_of_its_own(pixels, augmentation):
    same = pixels[:1].expand(16, -1, -1, -1)

    batch = views(same, augmentation)

    assert len({tuple(view.flatten().tolist()) for view in batch}) == 16


def test_none_is_the_evaluation_transform_and_needs_no_draws(pixels):
    batch = train_batch(pixels, transform=PLAIN, augmentation="none", draws=None)

    assert torch.equal(batch, eval_batch(pixels, transform=PLAIN))


@pytest.mark.parametrize("draws", [None, torch.zeros(14, 3)])
def test_views_without_their_draws_are_refused(pixels, draws):
    with pytest.raises(ValueError, match=r"16 views are decided by draws of \[14, 16\]"):
        train_batch(pixels, transform=PLAIN, augmentation="light", draws=draws)


def test_views_are_the_same_in_whatever_batch_they_are(pixels):
    draws = random_draws(len(pixels), torch.Generator().manual_seed(0))

    whole = train_batch(pixels, transform=PLAIN, augmentation="strong", draws=draws)
    some = train_batch(pixels[5:9], transform=PLAIN, augmentation="strong", draws=draws[:, 5:9])

    assert torch.allclose(some, whole[5:9], atol=1e-6)


def test_views_of_one_colour_keep_it():
    """Reflection at the border: no black corners, whatever the crop or angle."""
    grey = torch.full((64, R, R, 3), 100, dtype=torch.uint8)

    assert views(grey, "light").sub(100 / 255).abs().max() < 1e-5
    assert views(grey, "medium").min() > 0.2


def left_is_white(count: int) -> torch.Tensor:
    pixels = torch.zeros(count, R, R, 3, dtype=torch.uint8)
    pixels[:, :, : R // 2] = 255
    return pixels


def test_flip_mirrors_about_half_of_the_views():
    batch = views(left_is_white(400), "light")

    is_mirrored = batch[:, 0, :, 0].mean(1) < batch[:, 0, :, -1].mean(1)

    assert 0.4 < is_mirrored.float().mean() < 0.6


@pytest.mark.parametrize("augmentation", ["light", "medium", "strong"])
def test_without_flip_no_view_is_mirrored(augmentation):
    batch = views(left_is_white(400), augmentation, flip=False)
    halves = batch.mean((1, 2))

    assert (halves[:, :16].mean(1) > halves[:, 16:].mean(1) - 0.15).all()


def test_light_crop_shows_between_70_per_cent_and_all_of_the_square():
    """A ramp from left to right: the range of values in a view is the width of its crop."""
    ramp = torch.linspace(0, 255, R).to(torch.uint8)[None, None, :, None].expand(500, R, R, 3)
    across = ramp.transpose(1, 2)

    width = views(ramp, "light", flip=False)[:, 0, 0, :]
    height = views(across, "light", flip=False)[:, 0, :, 0]
    shown = (
        (width[:, -1] - width[:, 0])
        * (height[:, -1] - height[:, 0])
        * (32 / 31 * (R - 1) / R) ** 2
    )

    assert 0.69 < shown.min() < 0.72
    assert 0.96 < shown.max() < 1.01


def test_strong_blanks_a_rectangle_in_about_a_quarter_of_the_views():
    white = torch.full((400, R, R, 3), 255, dtype=torch.uint8)

    is_blank = (views(white, "strong") == 0).all(1).flatten(1)

    share = is_blank.any(1).float().mean()
    assert 0.17 < share < 0.33
    assert is_blank.float().mean(1).max() < 0.25


def test_medium_jitter_stays_within_its_bounds():
    grey = torch.full((400, R, R, 3), 100, dtype=torch.uint8)

    levels = views(grey, "medium").mean((1, 2, 3)) * 255

    assert 79 < levels.min() < 85
    assert 115 < levels.max() < 121


def test_augmentation_that_does_not_exist_is_refused(pixels):
    with pytest.raises(ValueError, match="augmentation is 'heavy'; allowed are"):
        views(pixels, "heavy")
