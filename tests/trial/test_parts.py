"""Schedules, optimisers, seeds, checkpoints and the trial boundary."""

import pytest
import torch
from torch import nn

from runner.errors import DataError
from runner.trial import (
    Attempt,
    Ending,
    Job,
    Lease,
    Outcome,
    Report,
    TrialSpec,
    derive_seed,
    run_job,
)
from runner.trial.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from runner.trial.optimizers import OptimizerSettings, build_optimizer, set_learning_rates
from runner.trial.schedules import learning_rate_factor
from tests.trial.conftest import Recorder


def test_warm_up_rises_and_cosine_falls_to_nearly_nothing():
    factors = [learning_rate_factor("cosine", s, total=100, warmup=10) for s in range(100)]

    assert factors[:10] == sorted(factors[:10])
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[99] < 0.001


def test_linear_schedule_is_a_straight_line():
    factors = [learning_rate_factor("linear", s, total=10, warmup=0) for s in range(10)]

    assert factors == pytest.approx([1 - step / 10 for step in range(10)])


def test_unknown_schedule_is_refused_by_name():
    with pytest.raises(ValueError, match="no schedule named 'step': cosine, linear or constant"):
        learning_rate_factor("step", 0, total=1, warmup=0)


def settings(**changes):
    values = {
        "optimizer": "adamw",
        "learning_rate": 0.1,
        "head_learning_rate": None,
        "layer_decay": 1.0,
        "weight_decay": 0.01,
        "momentum": 0.9,
    }
    return OptimizerSettings(**{**values, **changes})


def two_layers():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    groups = {name: int(name[0]) for name, _ in model.named_parameters()}
    return model, groups


def rates_of(optimizer, model):
    by_parameter = {
        id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]
    }
    return [by_parameter[id(layer.weight)] for layer in model]


def test_layer_decay_multiplies_once_a_group_away_from_the_head():
    model, groups = two_layers()

    optimizer = build_optimizer(model, groups, head_group=2, settings=settings(layer_decay=0.5))

    assert rates_of(optimizer, model) == pytest.approx([0.025, 0.05, 0.1])


def test_head_has_its_own_rate_and_biases_no_weight_decay():
    model, groups = two_layers()

    optimizer = build_optimizer(
        model, groups, head_group=2, settings=settings(head_learning_rate=1.0)
    )

    assert rates_of(optimizer, model) == pytest.approx([0.1, 0.1, 1.0])
    for group in optimizer.param_groups:
        expected = 0.0 if group["params"][0].ndim == 1 else 0.01
        assert group["weight_decay"] == expected


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_rates_are_scaled_from_their_base(name):
    model, groups = two_layers()
    optimizer = build_optimizer(model, groups, head_group=2, settings=settings(optimizer=name))

    set_learning_rates(optimizer, 0.5)
    set_learning_rates(optimizer, 0.1)

    assert rates_of(optimizer, model) == pytest.approx([0.01] * 3)


def test_seeds_differ_by_every_part_and_are_the_same_everywhere():
    seeds = {derive_seed(a, b) for a in range(20) for b in ("order", "images")}

    assert len(seeds) == 40
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert derive_seed(1, 23) != derive_seed(12, 3)


def state() -> TrainingState:
    return TrainingState(
        epoch=2,
        model={"w": torch.arange(3.0)},
        optimizer={"state": {}, "param_groups": []},
        micro_batch=8,
        best_value=0.5,
        best_epoch=1,
        best_weights={"w": torch.ones(3)},
        best_evaluation={"confusion": [[1, 0], [0, 1]]},
        reports=[Report(1, {"train/loss": 1.5, "validation/accuracy": 0.5}, 123)],
    )


def test_checkpoint_comes_back_as_it_was(tmp_path):
    save_checkpoint(tmp_path, state())

    loaded = load_checkpoint(tmp_path)

    assert loaded.reports == state().reports
    assert torch.equal(loaded.model["w"], torch.arange(3.0))
    assert (loaded.best_value, loaded.best_epoch) == (0.5, 1)
    assert loaded.best_evaluation == {"confusion": [[1, 0], [0, 1]]}


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None


class Objective:
    """Ends all its trials but the last, then raises."""

    def __init__(self, error):
        self.error = error

    def run(self, job, lease, channel):
        for spec in job.trials[:-1]:
            channel.end(spec.key, Ending(Outcome.COMPLETE, value=1.0))
        if self.error is not None:
            raise self.error


def job(trials):
    return Job(tuple(TrialSpec(Attempt(n, 0), {}, 0, "") for n in range(trials)))


def ending_after(error):
    """The ending of a trial by itself whose objective raises this, or forgets it."""
    channel = Recorder()
    run_job(Objective(error), job(1), Lease(0), channel)
    (ending,) = channel.endings
    return ending


def test_boundary_fails_a_trial_that_raises_and_keeps_the_traceback():
    ending = ending_after(ZeroDivisionError("division by zero"))

    assert ending.outcome is Outcome.FAILED
    assert ending.reason == "ZeroDivisionError: division by zero"
    assert "raise self.error" in ending.traceback
    assert ending.value is None


def test_boundary_shows_our_own_errors_without_a_class_name():
    assert ending_after(DataError("photo.jpg is gone")).reason == "photo.jpg is gone"


def test_boundary_fails_a_trial_that_its_objective_forgot():
    assert ending_after(None).reason == "the objective returned without ending the trial"


def test_boundary_ends_every_trial_once_and_loses_those_whose_computation_raised():
    channel = Recorder()

    run_job(Objective(DataError("photo.jpg is gone")), job(3), Lease(0), channel)

    assert [ending.outcome for ending in channel.endings] == ["complete", "complete", "lost"]
    assert channel.endings[2].reason == "a job of 3 trials failed: photo.jpg is gone"
