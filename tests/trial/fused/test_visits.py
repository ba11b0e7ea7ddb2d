"""Epochs side by side: each trial visits what it visits alone, at its own rates."""

import numpy as np
import pytest
import torch

from runner.experiment import Recipe
from runner.trial import Attempt, TrialSpec, derive_seed
from runner.trial.epoch_order import epoch_batches
from runner.trial.fused import HeadFeatures, HeadTrial
from runner.trial.fused.running import RunningHead
from runner.trial.fused.visits import plan_epoch
from runner.trial.schedules import learning_rate_factor

_COUNT = 23
_TARGETS = torch.arange(_COUNT) % 3


def _features(lengths: np.ndarray | None) -> HeadFeatures:
    rows = torch.randn(1, _COUNT, 4)
    ids = tuple(map(str, range(_COUNT)))
    return HeadFeatures(rows, _TARGETS, rows[0], _TARGETS, ids, lengths)


def _run(number: int, epoch: int, **recipe: object) -> RunningHead:
    spec = TrialSpec(Attempt(number, 0), {}, seed=number, folder="")
    start = {"weight": torch.zeros(3, 4), "bias": torch.zeros(3)}
    run = RunningHead(HeadTrial(spec, Recipe(batch_size=5, epochs=4, **recipe), start))
    run.state.epoch = epoch
    return run


@pytest.mark.parametrize("lengths", [None, np.arange(_COUNT) % 7 + 1], ids=["equal", "texts"])
def test_plan_has_each_trials_own_batches_and_factors(lengths: np.ndarray | None) -> None:
    runs = [_run(0, 0), _run(1, 2, sampling="balanced"), _run(2, 3, schedule="linear", warmup=0.6)]

    plan = plan_epoch(runs, _features(lengths))

    for index, run in enumerate(runs):
        recipe = run.trial.recipe
        generator = torch.Generator().manual_seed(derive_seed(index, "images", run.state.epoch))
        expected = epoch_batches(
            _COUNT,
            5,
            generator=generator,
            lengths=lengths,
            labels=_TARGETS if recipe.sampling == "balanced" else None,
        )
        assert plan.steps == len(expected) == 5
        for step, batch in enumerate(expected):
            assert plan.sizes[step][index] == plan.counts[step, index] == len(batch)
            assert torch.equal(plan.positions[step, index, : len(batch)], batch)
            done = run.state.epoch * 5 + step
            factor = learning_rate_factor(
                recipe.schedule, done, total=20, warmup=round(20 * recipe.warmup)
            )
            assert plan.factors[step, index] == factor
