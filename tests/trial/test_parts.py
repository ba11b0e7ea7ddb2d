"""Schedules, optimisers, seeds, checkpoints and the trial boundary."""

import errno
import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from runner.errors import (
    DataError,
    LossNotFinite,
    TrialLost,
    TrialOutOfMemory,
    UserCodeFailed,
    WeightsUnavailable,
)
from runner.trial import (
    Attempt,
    Ending,
    Fault,
    Job,
    Lease,
    Outcome,
    Reach,
    Report,
    TrialSpec,
    derive_seed,
    run_job,
)
from runner.trial.checkpoint import (
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    save_weights,
)
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


def test_checkpoint_is_written_under_a_name_of_its_own_and_others_do_not_finish(
    tmp_path, monkeypatch
):
    """A worker whose driver was killed may live a moment longer than the next one needs.

    Fails with one name for all, and where others' files are not removed.
    """
    orphans = tmp_path / "checkpoint.pt.1.tmp"
    write = torch.save
    names = []

    def written(values, file):
        names.extend(path.name for path in tmp_path.iterdir())
        write(values, file)

    monkeypatch.setattr(torch, "save", written)
    orphans.write_bytes(b"half a file")
    save_checkpoint(tmp_path, state())
    save_weights(tmp_path, {"w": torch.ones(1)})

    assert names == [f"checkpoint.pt.{os.getpid()}.tmp"]
    with pytest.raises(FileNotFoundError):
        orphans.replace(tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path).epoch == 2
    left = ["checkpoint.pt", "weights.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


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


def user_error(cause):
    error = UserCodeFailed(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TrialOutOfMemory("not even one example fits"), "out_of_memory"),
        (LossNotFinite("the training loss became nan"), "diverged"),
        (TrialLost("a helper died"), "lost"),
        (user_error(ZeroDivisionError("division by zero")), "user_error"),
        (DataError("photo.jpg is gone"), "failed"),
    ],
)
def test_boundary_gives_each_kind_of_failure_its_outcome(error, outcome):
    """Fails where all are failures like any other (`_outcome_of`)."""
    assert ending_after(error).outcome == outcome


def test_boundary_tells_what_the_user_raised_and_not_the_wrapping():
    ending = ending_after(user_error(ZeroDivisionError("division by zero")))

    assert ending.reason == "ZeroDivisionError: division by zero"
    assert "UserCodeFailed" not in ending.traceback
    assert ending.fault.kind == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("error", "reach"),
    [
        (ValueError("too high"), Reach.TRIAL),
        (DataError("photo.jpg is gone"), Reach.STUDY),
        (WeightsUnavailable("no network"), Reach.STUDY),
        (OSError(errno.ENOSPC, "No space left on device"), Reach.MACHINE),
        (OSError(errno.EFBIG, "File too large"), Reach.MACHINE),
        (OSError(errno.ENOENT, "No such file"), Reach.TRIAL),
        (RuntimeError("I/O error: No space left on device (os error 28)"), Reach.MACHINE),
        (ValueError("File too large for this model: 12 MB"), Reach.TRIAL),
        (PermissionError(errno.EACCES, "Permission denied"), Reach.TRIAL),
    ],
)
def test_fault_says_whom_an_error_is_about(error, reach):
    """Fails where every error is the trial's, or with EFBIG among the words."""
    assert ending_after(error).fault.reach is reach


@pytest.mark.parametrize("what", ["checkpoint", "weights"])
def test_fault_of_a_disk_that_takes_no_more_is_about_the_machine_whoever_writes(tmp_path, what):
    """Torch and safetensors have words of their own for it; here files may not grow.

    Fails without the error behind torch's, and without safetensors' words.
    """

    class Saves(Objective):
        def run(self, job, lease, channel):
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
            try:
                if what == "weights":
                    save_weights(tmp_path, {"w": torch.ones(9000)})
                else:
                    save_checkpoint(tmp_path, replace(state(), ema={"w": torch.ones(9000)}))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    channel = Recorder()
    run_job(Saves(None), job(1), Lease(0), channel)
    (ending,) = channel.endings
    assert ending.fault.reach is Reach.MACHINE, ending.reason
    assert "File too large" in ending.reason


def test_fault_is_the_same_for_the_same_line_whatever_the_message():
    faults = [ending_after(ValueError(f"rate {rate}")).fault for rate in (1, 2)]

    assert faults[0] == faults[1]
    assert Path(__file__).name in faults[0].place


def test_fault_of_our_own_errors_is_all_that_they_say():
    assert ending_after(DataError("a.jpg")).fault != ending_after(DataError("b.jpg")).fault


def test_fault_lies_in_the_projects_code_and_not_in_what_it_calls():
    """The error is raised in the library; the line that called it is here.

    Fails where the last frame counts, whosever it is.
    """

    class Calls(Objective):
        def run(self, job, lease, channel):
            nn.Linear(3, 3)(torch.zeros(2))

    channel = Recorder()
    run_job(Calls(None), job(1), Lease(0), channel)
    fault = channel.endings[0].fault
    assert isinstance(fault, Fault)
    assert fault.place.startswith(f"{__file__}:")
