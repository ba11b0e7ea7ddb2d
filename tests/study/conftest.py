"""Studies on disk and in memory, and one MLflow store for all of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import pytest

from runner.backends import InlineBackend, NoJob, SimulatedBackend
from runner.experiment import FixedParameter, FloatParameter, Space, Store
from runner.study import Listener, Silent, StudyFeed, StudyRecord, study_lock
from runner.study.budget import Budget
from runner.study.logbook import Logbook
from runner.study.pruning import make_judge
from runner.study.rules import Rules
from runner.study.rungs import Rungs
from runner.study.sampling import Sampling
from runner.study.waves import WaveRules
from runner.tracking import RunStatus, StudyRun, Tracking, TrialRun, connect, read_trials
from runner.trial import Attempt, Decision, Ending, Job, Lease, Outcome, Report, TrialSpec
from tests.objectives import METRIC, Scripted, ScriptedTimes

SPACE = Space({"epochs": FixedParameter(3), "value": FloatParameter(0.0, 0.9)})


@dataclass
class Opened:
    """A search that is under way, and ways to drive it.

    Attributes:
        folder: The study's.
        record: Its record.
        feed: Gives out the trials.
        logbook: Writes to MLflow.
        study_run: The runs there.
        tracking: The MLflow store.
    """

    folder: Path
    record: StudyRecord
    feed: StudyFeed
    logbook: Logbook
    study_run: StudyRun
    tracking: Tracking

    def simulate(self, *, slots: int = 1) -> SimulatedBackend:
        """Run to the end on the simulated clock."""
        backend = SimulatedBackend(ScriptedTimes(), slots=slots)
        backend.run(self.feed)
        return backend

    def run_inline(self) -> None:
        """Run to the end in real time, in this process."""
        InlineBackend(Scripted()).run(self.feed)

    def next(self, slot: int = 0) -> TrialSpec:
        """The next trial for a slot; there must be one."""
        job = self.feed.next(Lease(slot))
        assert isinstance(job, Job)
        self.feed.finish()
        return job.trials[0]

    def no_job(self, slot: int = 0) -> NoJob:
        """Why there is no next trial; there must be none."""
        job = self.feed.next(Lease(slot))
        assert isinstance(job, NoJob)
        return job

    def report(self, key: Attempt, step: int, value: float = 0.5) -> Decision:
        """What the feed answers to an epoch's metrics."""
        metrics = {METRIC: value, "train/loss": 1.0}
        return self.feed.report(key, Report(step, metrics, 1_700_000_000_000 + step))

    def end(self, key: Attempt, outcome: Outcome, value: float | None = None) -> None:
        """End an attempt."""
        self.feed.end(key, Ending(outcome, value, None if value is None else 1))
        self.feed.finish()

    @property
    def outcomes(self) -> list[str]:
        """State of every trial, by number."""
        return [trial.state for trial in self.record.trials()]

    def runs(self) -> dict[int, TrialRun]:
        """What MLflow has, by trial."""
        self.feed.finish()
        self.study_run.flush()
        return {run.number: run for run in read_trials(self.tracking, self.record.study_id)}

    def steps(self, number: int, metric: str = METRIC) -> list[int]:
        """The epochs of a metric in MLflow."""
        self.feed.finish()
        self.study_run.flush()
        run_id = self.study_run.run_ids[number]
        return [point.step for point in self.tracking.metric_history(run_id, metric)]


Searching = Callable[..., AbstractContextManager[Opened]]


def _open(
    tracking: Tracking,
    folder: Path,
    space: Space,
    *,
    sampler: str = "random",
    pruner: str = "none",
    trials: int | None = 4,
    time_s: float | None = None,
    first: tuple[dict[str, Any], ...] = (),
    trial_time_s: float | None = None,
    max_failures: int = 5,
    retries: int = 1,
    keep_weights: int = 5,
    seed: int = 0,
    begun_at: float = 0.0,
    listener: Listener | None = None,
    logbook_type: type[Logbook] = Logbook,
    waves: WaveRules | None = None,
    sampling: Sampling | None = None,
) -> Opened:
    record = StudyRecord.open(folder, direction="maximize")
    rungs = Rungs(pruner)
    study_run = tracking.open_study(
        "cats", study_id=record.study_id, run_name="cats:1", tags={}, params={}, artifacts={}
    )
    logbook = logbook_type(
        study_run,
        recipe_of=lambda params: {"optimizer": "adamw", **params},
        tags={"runner.data": "abc"},
        keep_weights=keep_weights,
    )
    record.settle()
    logbook.catch_up(record)
    feed = StudyFeed(
        record,
        sampling=sampling or Sampling(space, sampler, seed=seed, direction="maximize"),
        judge=make_judge(rungs, name="cats", max_epochs=9, is_maximized=True),
        budget=Budget(trials, time_s, float(record.attributes.get("seconds_used", 0.0))),
        rules=Rules(
            metric="accuracy",
            seed=seed,
            first=first,
            trial_time_s=trial_time_s,
            max_failures=max_failures,
            epochs_of=lambda params: int(params.get("epochs", 1)),
            waves=waves or WaveRules(),
            retries=retries,
        ),
        logbook=logbook,
        listener=listener or Silent(),
        begun_at=begun_at,
    )
    return Opened(folder, record, feed, logbook, study_run, tracking)


@pytest.fixture
def memory_record(tmp_path: Path) -> Callable[[], StudyRecord]:
    """Makes records over Optuna's own storage in memory: the same calls, no disk."""
    numbers = count()

    def make() -> StudyRecord:
        study = optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler())
        return StudyRecord(tmp_path / "study" / str(next(numbers)), study)

    return make


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store") / "mlruns")


@pytest.fixture(scope="session")
def tracking(store: Store) -> Tracking:
    """The local MLflow store; making its schema costs seconds, once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return connect(None, store)


@pytest.fixture
def searching(tracking: Tracking, tmp_path: Path) -> Searching:
    """Opens a search of the study in a folder as the runner does, but for its objective."""

    @contextmanager
    def open_one(space: Space = SPACE, **settings: Any) -> Iterator[Opened]:
        folder = tmp_path / "studies" / settings.pop("name", "cats") / "1"
        settings["begun_at"] = time.time()
        with study_lock(folder):
            if between := settings.pop("between", None):
                between(folder)
            opened = _open(tracking, folder, space, **settings)
            try:
                yield opened
            finally:
                opened.study_run.close(RunStatus.KILLED)

    return open_one
