"""One small experiment, and a trial of it, for the tests of this room."""

from pathlib import Path

import pytest

from runner.experiment import Experiment, Store
from runner.trial import Attempt, Decision, Ending, Lease, Report, TrialSpec


class Recorder:
    """A channel that keeps what it hears, and can be told what to answer."""

    def __init__(self, answers: dict[int, Decision] | None = None) -> None:
        self.answers = answers or {}
        self.reports: list[Report] = []
        self.endings: list[Ending] = []

    def report(self, key: Attempt, report: Report) -> Decision:
        self.reports.append(report)
        return self.answers.get(report.step, Decision.CONTINUE)

    def decision(self, key: Attempt) -> Decision:
        return Decision.CONTINUE

    def end(self, key: Attempt, ending: Ending) -> None:
        self.endings.append(ending)

    @property
    def metrics(self) -> list[dict[str, float]]:
        """What must be the same when a trial is run again: everything but the clock's."""
        return [
            {name: value for name, value in report.metrics.items() if "per_s" not in name}
            for report in self.reports
        ]


def small_experiment(**train: object) -> Experiment:
    """Two hundred handwritten digits at 32 px and a ResNet of a few thousand weights."""
    return Experiment.model_validate(
        {
            "name": "small",
            "data": {"source": "bundled", "name": "digits", "size": 20, "image_size": 32},
            "model": {
                "name": "resnet10t",
                "weights": "none",
                "arguments": {"channels": [8, 8, 16, 16]},
            },
            "train": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01, **train},
        }
    )


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    folder = tmp_path / "trial"
    folder.mkdir()
    return TrialSpec(Attempt(0, 0), {}, seed=7, folder=str(folder))


@pytest.fixture
def lease() -> Lease:
    return Lease(slot=0)
