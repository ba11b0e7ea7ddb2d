"""Experiments with code of one's own, written into a folder, and channels that answer."""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.experiment import Experiment, Store
from runner.experiment.marks import Marks
from runner.trial import Attempt, Decision, Ending, Job, Lease, Report, TrialSpec, run_job
from runner.trial.custom import CustomCommand, CustomFunction


class Answering:
    """A channel that keeps what it hears and answers by step.

    Attributes:
        answers: Decision by step; CONTINUE where there is none.
        wanted: What it answers when it is only asked.
        reports: Everything reported.
        ending: The one ending.
    """

    def __init__(self, answers: Mapping[int, Decision] | None = None) -> None:
        self.answers = dict(answers or {})
        self.wanted: Callable[[], Decision] = lambda: Decision.CONTINUE
        self.reports: list[Report] = []
        self.endings: list[Ending] = []

    def report(self, key: Attempt, report: Report) -> Decision:
        self.reports.append(report)
        return self.answers.get(report.step, Decision.CONTINUE)

    def decision(self, key: Attempt) -> Decision:
        return self.wanted()

    def end(self, key: Attempt, ending: Ending) -> None:
        self.endings.append(ending)

    @property
    def ending(self) -> Ending:
        assert len(self.endings) == 1
        return self.endings[0]

    @property
    def metrics(self) -> list[tuple[int, dict[str, float]]]:
        """Step and metrics of every report."""
        return [(report.step, dict(report.metrics)) for report in self.reports]


class Bench:
    """A folder with a user's code and the folder of a trial of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trial = folder / "trials" / "00003"
        self.store = Store(folder / "store")
        self.lease = Lease(0, ("cpu",), threads=1)

    def write(self, name: str, code: str) -> Path:
        """A file of the user's."""
        path = self.folder / name
        path.write_text(textwrap.dedent(code), "utf-8")
        return path

    def experiment(self, **keys: Any) -> Experiment:
        """An experiment in this folder."""
        search = {"metric": "accuracy", "direction": "maximize", **keys.pop("search", {})}
        written = {"name": "own", "task": "custom", **keys, "search": search}
        experiment = Experiment.model_validate(written)
        return experiment.loaded_from(self.folder / "own.yaml", marks=Marks("own.yaml"))

    def function(self, code: str = "", **keys: Any) -> CustomFunction:
        """The objective `objective` of my_train.py with that code."""
        if code:
            self.write("my_train.py", code)
        experiment = self.experiment(objective="my_train.py:objective", **keys)
        return CustomFunction(experiment, self.store)

    def command(self, *words: str, **keys: Any) -> CustomCommand:
        """A command as objective."""
        return CustomCommand(self.experiment(command=list(words), **keys), self.store)

    def spec(self, attempt: int = 0, **params: Any) -> TrialSpec:
        """The trial's spec."""
        return TrialSpec(Attempt(3, attempt), params, seed=7, folder=str(self.trial))

    def run(
        self,
        objective: CustomFunction | CustomCommand,
        channel: Answering | None = None,
        **params: Any,
    ) -> Answering:
        """Run the trial once; gives the channel."""
        channel = channel or Answering()
        run_job(objective, Job((self.spec(**params),)), self.lease, channel)
        return channel


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
