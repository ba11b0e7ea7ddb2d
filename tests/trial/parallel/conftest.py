"""Trials on two CPU devices: two processes joined by gloo, as two GPUs are by NCCL."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from runner.experiment import Experiment, Store
from runner.trial import Attempt, Ending, FineTune, Job, Lease, Outcome, TrialSpec, run_job
from runner.trial.checkpoint import WEIGHTS
from tests.objectives import ROOT
from tests.trial.conftest import Recorder
from tests.trial.parallel.breaking import Breaking

ONE, TWO = Lease(slot=0, threads=1), Lease(slot=0, devices=("cpu", "cpu"), threads=2)


@dataclass
class Trained:
    """What came of a trial."""

    recorder: Recorder
    folder: Path

    @property
    def ending(self) -> Ending:
        (ending,) = self.recorder.endings
        return ending

    @property
    def weights(self) -> dict[str, Tensor]:
        assert self.ending.outcome is Outcome.COMPLETE, self.ending.traceback
        return load_file(self.folder / WEIGHTS)


@dataclass
class Laboratory:
    """Trains trials of one experiment on one device or two, with helpers that stay."""

    objective: FineTune
    folder: Path
    numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def train(
        self,
        lease: Lease,
        *,
        seed: int = 7,
        recorder: Recorder | None = None,
        folder: Path | None = None,
        **params: Any,
    ) -> Trained:
        """A trial; with the folder of an earlier one it goes on."""
        number = next(self.numbers)
        trained = Trained(recorder or Recorder(), folder or self.folder / f"trial-{number}")
        spec = TrialSpec(Attempt(number, 0), params, seed, str(trained.folder))
        run_job(self.objective, Job((spec,)), lease, trained.recorder)
        return trained

    @property
    def helper(self) -> int:
        """Process id of the helper that waits for the next trial."""
        crew = self.objective._crew
        assert crew is not None
        assert crew._helpers is not None
        (helper,) = crew._helpers._all
        return helper.process.pid

    def close(self) -> None:
        if self.objective._crew is not None:
            self.objective._crew.dismiss()


@pytest.fixture(scope="module")
def laboratories(
    store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Experiment], Laboratory]]:
    made = []

    def make(experiment: Experiment) -> Laboratory:
        folder = tmp_path_factory.mktemp("trials")
        made.append(Laboratory(Breaking(experiment, store), folder))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setattr("runner.trial.training.CHECKPOINT_FROM_S", 0.0)
        yield make
        for each in made:
            each.close()


def require_near(one: Trained, other: Trained, *, tolerance: float = 1e-4) -> None:
    """The same reports and weights, to rounding.

    Sums in another order differ in their last bits (1e-7), which training carries on.
    """
    assert len(one.recorder.metrics) == len(other.recorder.metrics)
    for ours, theirs in zip(one.recorder.metrics, other.recorder.metrics, strict=True):
        assert ours == pytest.approx(theirs, rel=tolerance, abs=tolerance)
    ours, theirs = one.weights, other.weights
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        distance = float((tensor.double() - theirs[name].double()).abs().max())
        assert distance <= tolerance, name
