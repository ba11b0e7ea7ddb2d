"""Where the examples are kept changes no result; the trial and the plan say where."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from runner.data import pixels
from runner.experiment import TASK_FORMS, Experiment, Store, load_experiment
from runner.trial import FineTune
from runner.trial.bench import Bench
from runner.trial.checkpoint import WEIGHTS
from runner.trial.finetune import fine_tune
from runner.trial.images import ImageInputs
from runner.trial.memory import Residency
from tests.tiny_tasks import write_experiment
from tests.trial.conftest import Recorder, small_experiment


def with_room(experiment: Experiment, data_gib: float | str) -> Experiment:
    asked = experiment.resolved()
    asked["reuse"]["data_gib"] = data_gib
    return Experiment.model_validate(asked)


@pytest.fixture
def nothing_is_small(monkeypatch) -> None:
    monkeypatch.setattr(pixels, "SMALL_BYTES", 0)


@pytest.mark.parametrize(
    "train", [{"augmentation": "strong"}, {"freeze_depth": 2, "augmentation": "none"}]
)
def test_trial_on_images_decoded_in_every_epoch_has_the_same_bits(
    spec, lease, tmp_path, nothing_is_small, train
):
    outcomes = []
    for name, room in (("kept", "auto"), ("fresh", 0)):
        recorder, folder = Recorder(), tmp_path / name / "trial"
        folder.mkdir(parents=True)
        bench = Bench(with_room(small_experiment(**train), room), Store(tmp_path / name))
        ending = fine_tune(bench, replace(spec, folder=str(folder)), lease, recorder)
        outcomes.append((recorder.metrics, load_file(folder / WEIGHTS), ending.notes["examples"]))

    (kept, kept_weights, where), (fresh, fresh_weights, why) = outcomes
    assert kept == fresh
    assert all(torch.equal(kept_weights[n], fresh_weights[n]) for n in kept_weights)
    assert where == "kept on disk"
    assert why.startswith("training: decoded in every epoch: 608 KiB do not fit")
    assert "into the 0 KiB that reuse.data_gib leaves; validation: decoded in every epoch" in why
    assert not list((tmp_path / "fresh" / "cache" / "pixels").iterdir())


def test_plan_says_what_prepared_examples_take_and_may_take(tmp_path, lease):
    def line(room: float | str) -> str:
        objective = FineTune(with_room(small_experiment(), room), Store(tmp_path))
        (found,) = [x for x in objective.inspect(lease).details["lines"] if "prepared" in x]
        return found

    assert line(0.5) == (
        "examples: 683 KiB when prepared, kept on disk; those of all studies may take 512 MiB of "
        "this disk"
    )
    assert "GiB of this disk" in line("auto")


def test_texts_without_room_on_disk_are_kept_in_memory_and_the_trial_says_so(
    spec, lease, tmp_path
):
    path = write_experiment(tmp_path, TASK_FORMS["text_classification"])
    experiment = with_room(load_experiment(str(path), ["train.epochs=1"]), 0)
    experiment = experiment.loaded_from(path, marks=experiment._marks)

    ending = fine_tune(Bench(experiment, Store(tmp_path / "store")), spec, lease, Recorder())

    assert ending.notes["examples"].startswith("training: kept in memory: ")
    assert "that reuse.data_gib leaves" in ending.notes["examples"]


class Everything(Residency):
    """A device that has room for all of it."""

    def take(self, nbytes: int, device: torch.device) -> bool:
        return True


def test_images_that_stay_on_the_device_are_decoded_once(tmp_path, nothing_is_small):
    bench = Bench(with_room(small_experiment(), 0), Store(tmp_path))
    inputs = bench.train.inputs
    assert isinstance(inputs, ImageInputs)
    resident = replace(inputs, residency=Everything())
    chosen, cpu = torch.tensor([3, 1]), torch.device("cpu")
    recipe = bench.experiment.recipe({})

    batch = resident.eval_batch(chosen, recipe, device=cpu)

    assert torch.equal(batch["pixels"], inputs.eval_batch(chosen, recipe, device=cpu)["pixels"])
    assert resident.kept == "kept on the device"
