"""Training images: new views in every epoch, or a fixed number that every trial shares."""

import numpy as np
import pytest
import torch

from runner import data
from runner.experiment import Recipe
from runner.trial.images import PIXELS, ImageInputs
from runner.trial.modality import Moment

PLAIN = data.Transform(size=8, crop_fraction=0.8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
CPU = torch.device("cpu")


@pytest.fixture
def inputs() -> ImageInputs:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 10, 3), dtype=np.uint8)
    return ImageInputs(data.KeptSquares(pixels, "kept in memory"), PLAIN, flip=True, seed=3)


def batch_of(inputs: ImageInputs, chosen: list[int], recipe: Recipe, *, epoch: int, seed: int):
    moment = Moment(epoch, torch.Generator().manual_seed(seed), CPU)
    return inputs.train_batch(torch.tensor(chosen), recipe, moment=moment)[PIXELS]


def test_new_views_are_decided_by_the_trials_own_generator(inputs):
    recipe = Recipe(augmentation="light")

    first = batch_of(inputs, [0, 1], recipe, epoch=0, seed=1)

    assert torch.equal(first, batch_of(inputs, [0, 1], recipe, epoch=5, seed=1))
    assert not torch.equal(first, batch_of(inputs, [0, 1], recipe, epoch=0, seed=2))


def test_fixed_views_are_the_same_for_every_trial_and_batch(inputs):
    recipe = Recipe(augmentation="strong", views=2)

    one = batch_of(inputs, [4, 0, 2], recipe, epoch=1, seed=1)
    other = batch_of(inputs, [2, 4], recipe, epoch=1, seed=99)

    assert torch.allclose(other, one[[2, 0]], atol=1e-6)


def test_fixed_views_are_taken_in_turn(inputs):
    recipe = Recipe(augmentation="medium", views=2)
    epochs = [batch_of(inputs, [0, 1, 2], recipe, epoch=epoch, seed=epoch) for epoch in range(4)]

    assert torch.equal(epochs[0], epochs[2])
    assert torch.equal(epochs[1], epochs[3])
    assert not torch.equal(epochs[0], epochs[1])


def test_another_seed_of_the_experiment_has_other_fixed_views(inputs):
    recipe = Recipe(augmentation="light", views=1)
    other = ImageInputs(inputs.pixels, PLAIN, flip=True, seed=4)

    assert not torch.equal(
        batch_of(inputs, [0], recipe, epoch=0, seed=1),
        batch_of(other, [0], recipe, epoch=0, seed=1),
    )
