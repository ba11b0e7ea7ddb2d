"""Which examples the steps of an epoch visit, for several trials side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runner.experiment import Recipe
from runner.trial.epoch_order import epoch_batches
from runner.trial.fused.contract import HeadFeatures
from runner.trial.fused.running import RunningHead
from runner.trial.progress import rate_factor
from runner.trial.seeding import derive_seed


@dataclass(frozen=True)
class EpochPlan:
    """One epoch of K trials, S steps each.

    Attributes:
        positions: Training examples, shape [S, K, B], int64; 0 behind a batch that has fewer.
        counts: Examples of each batch, shape [S, K], int64.
        sizes: The same as S lists of K.
        factors: On the learning rates, shape [S, K], float64.
    """

    positions: Tensor
    counts: Tensor
    sizes: list[list[int]]
    factors: Tensor

    @property
    def steps(self) -> int:
        """Optimiser steps of the epoch."""
        return len(self.sizes)


def plan_epoch(runs: Sequence[RunningHead], features: HeadFeatures) -> EpochPlan:
    """The next epoch of each trial; all have the same batch size.

    The same batches as the trial alone would see: `epoch_batches` from the same stream.
    """
    orders = [_batches_of(run, features) for run in runs]
    sizes = torch.tensor([[len(batch) for batch in order] for order in orders])
    positions = torch.zeros(*sizes.shape, int(sizes.max()), dtype=torch.int64)
    is_there = torch.arange(positions.shape[2]) < sizes.unsqueeze(2)
    positions[is_there] = torch.cat([batch for order in orders for batch in order])
    device = features.train.device
    factors = [_factors(run.trial.recipe, run.state.epoch, sizes.shape[1]) for run in runs]
    return EpochPlan(
        positions.transpose(0, 1).contiguous().to(device, non_blocking=True),
        sizes.T.contiguous(),
        sizes.T.tolist(),
        torch.tensor(factors, dtype=torch.float64).T.contiguous(),
    )


def _batches_of(run: RunningHead, features: HeadFeatures) -> list[Tensor]:
    recipe, seed = run.trial.recipe, run.trial.spec.seed
    generator = torch.Generator().manual_seed(derive_seed(seed, "images", run.state.epoch))
    return epoch_batches(
        features.train.shape[1],
        recipe.batch_size,
        generator=generator,
        lengths=features.lengths,
        labels=features.train_targets.cpu() if recipe.sampling == "balanced" else None,
    )


def _factors(recipe: Recipe, epoch: int, steps: int) -> list[float]:
    total = steps * recipe.epochs
    return [rate_factor(recipe, epoch * steps + step, total=total) for step in range(steps)]
