"""A training in segments: each goes on from the last state of another trial."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from runner.errors import TrialFailed
from runner.trial import CHECKPOINT, INHERITED, Lease, Outcome, Segment, TrialSpec
from runner.trial.bench import Bench
from runner.trial.checkpoint import WEIGHTS, load_checkpoint
from runner.trial.finetune import fine_tune
from tests.trial.conftest import Recorder, small_experiment

SETTINGS = {"epochs": 3, "ema": 0.9, "dropout": 0.1, "layer_decay": 0.8}


@pytest.fixture(scope="module")
def bench(store):
    return Bench(small_experiment(**SETTINGS), store)


def child(spec: TrialSpec, folder: Path, segment: Segment, **params: object) -> TrialSpec:
    """A trial that goes on from another one's last state, which the study lays beside it."""
    folder.mkdir()
    shutil.copyfile(Path(spec.folder) / CHECKPOINT, folder / INHERITED)
    return replace(spec, folder=str(folder), segment=segment, params=params)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_segments_with_equal_settings_and_seed_are_the_whole_training(
    store, spec, lease: Lease, tmp_path: Path, optimizer: str
) -> None:
    bench = Bench(small_experiment(**SETTINGS, optimizer=optimizer), store)
    whole, parts = Recorder(), Recorder()
    fine_tune(bench, replace(spec, folder=str(tmp_path)), lease, whole)

    first = replace(spec, segment=Segment(None, 0, 2))
    assert fine_tune(bench, first, lease, parts).outcome is Outcome.COMPLETE
    second = child(first, tmp_path / "second", Segment(0, 2, 3))
    fine_tune(bench, second, lease, parts)

    assert [report.step for report in parts.reports] == [1, 2, 3]
    assert parts.metrics == whole.metrics


def test_value_is_that_of_its_own_epochs(bench, spec, lease: Lease, tmp_path: Path) -> None:
    first = replace(spec, segment=Segment(None, 0, 2))
    fine_tune(bench, first, lease, Recorder())
    recorder = Recorder()

    ending = fine_tune(bench, child(first, tmp_path / "2", Segment(0, 2, 3)), lease, recorder)

    assert ending.best_step == 3
    assert ending.value == recorder.metrics[0]["validation/accuracy"]
    assert (tmp_path / "2" / WEIGHTS).exists()


def test_settings_are_its_own_and_moments_its_parents(
    bench, spec, lease: Lease, tmp_path: Path
) -> None:
    """Other rates group the optimiser's parameters in another way: they are told by name."""
    first = replace(spec, segment=Segment(None, 0, 1))
    fine_tune(bench, first, lease, Recorder())
    changed = {"learning_rate": 1e-9, "weight_decay": 0.0, "layer_decay": 1.0}
    second = child(first, tmp_path / "2", Segment(0, 1, 2), **changed)
    fine_tune(bench, second, lease, Recorder())

    before = load_checkpoint(Path(first.folder))
    after = load_checkpoint(Path(second.folder))
    assert before is not None
    assert after is not None
    assert len(after.optimizer["param_groups"]) < len(before.optimizer["param_groups"])
    assert {group["base_lr"] for group in after.optimizer["param_groups"]} == {1e-9}
    steps = [float(each["step"]) for each in after.optimizer["state"].values()]
    assert set(steps) == {2.0 * float(next(iter(before.optimizer["state"].values()))["step"])}
    # With next to no rate the weights stay where the parent left them.
    for name, tensor in before.model.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(after.model[name], tensor, rtol=0, atol=1e-6)


def test_segment_cut_off_goes_on_from_its_own_state(
    bench, spec, lease: Lease, tmp_path: Path
) -> None:
    """As after a kill when all its epochs were trained, and nobody had heard of it."""
    first = replace(spec, segment=Segment(None, 0, 2))
    fine_tune(bench, first, lease, Recorder())
    again = Recorder()

    ending = fine_tune(bench, first, lease, again)

    assert [report.step for report in again.reports] == [1, 2]
    assert ending.outcome is Outcome.COMPLETE
    assert load_file(Path(first.folder) / WEIGHTS)


def test_segment_without_its_parents_state_fails(bench, spec, lease: Lease) -> None:
    orphan = replace(spec, segment=Segment(4, 1, 2))

    with pytest.raises(TrialFailed, match="the last state of trial 4.* is gone"):
        fine_tune(bench, orphan, lease, Recorder())
