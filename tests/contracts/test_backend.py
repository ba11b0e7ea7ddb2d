"""What every backend must do: run over inline, local (real worker processes), a real Ray on this
machine, and simulated.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.backends import (
    Backend,
    InlineBackend,
    LocalBackend,
    NoJob,
    Silence,
    SimulatedBackend,
)
from runner.errors import SearchStopped
from runner.trial import (
    Attempt,
    Decision,
    Ending,
    Job,
    Lease,
    Outcome,
    Reach,
    Report,
    TrialSpec,
)
from tests.objectives import (
    METRIC,
    ROOT,
    HangsBefore,
    KilledWhileInspecting,
    Scripted,
    ScriptedTimes,
    Together,
)

SLOTS = {"inline": 1, "local": 2, "simulated": 2, "ray": 2}
NAMES = ["inline", "local", "simulated", pytest.param("ray", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=NAMES)
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        if request.param == "ray":
            request.getfixturevalue("ray_here")
        made = make_backend(request.param, tmp_path_factory.mktemp("logs"))
    yield made
    made.close()


@pytest.fixture(scope="module", params=NAMES)
def joint_backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """One that trains the trials of a job in step; the simulated one always does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        if request.param == "ray":
            request.getfixturevalue("ray_here")
        made = make_backend(request.param, tmp_path_factory.mktemp("logs"), Together())
    yield made
    made.close()


Start = Callable[..., Backend]


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Start]:
    """Backends of a test's own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started = []

    def make(
        name: str, objective: Scripted | None = None, *, silence: Silence | None = None
    ) -> Backend:
        if name == "ray":
            request.getfixturevalue("ray_here")
        started.append(make_backend(name, tmp_path / "logs", objective, silence=silence))
        return started[-1]

    yield make
    for backend in started:
        backend.close()


def make_backend(
    name: str,
    logs: Path,
    objective: Scripted | None = None,
    *,
    silence: Silence | None = None,
) -> Backend:
    objective = objective or Scripted()
    if name == "inline":
        return InlineBackend(objective)
    if name == "simulated":
        return SimulatedBackend(ScriptedTimes(), slots=SLOTS[name])
    if name == "ray":
        from runner.backends.ray import Cluster, Needs, RayBackend

        cluster = Cluster(Needs(cpus=1), slots=SLOTS[name])
        return RayBackend(objective, cluster, folder=logs, log=logs / "sent.txt", silence=silence)
    leases = [Lease(slot=number) for number in range(SLOTS[name])]
    return LocalBackend(objective, leases, logs=logs, silence=silence)


class RecordedFeed:
    """A feed of given jobs, which keeps every call and checks the order of those it gets."""

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        answers: Mapping[tuple[int, int], Decision] | None = None,
        cancel: Mapping[int, Decision] | None = None,
        stop_after: int | None = None,
    ) -> None:
        self._jobs = list(jobs)
        self._answers = answers or {}
        self._cancel = cancel or {}
        self._stop_after = stop_after
        self.running: set[Attempt] = set()
        self.order: list[tuple[int, int]] = []
        self.busy_slots: dict[int, set[Attempt]] = {}
        self.most_at_once = 0
        self.reports: dict[Attempt, list[Report]] = {}
        self.endings: dict[Attempt, Ending] = {}
        self.said: list[NoJob] = []

    def next(self, lease: Lease) -> Job | NoJob:
        assert not self.busy_slots.get(lease.slot), "a job for a slot that is not free"
        if self._stop_after is not None and len(self.endings) >= self._stop_after:
            self._jobs.clear()
        if not self._jobs:
            self.said.append(NoJob.WAIT if self.running else NoJob.DONE)
            return self.said[-1]
        job = self._jobs.pop(0)
        keys = {spec.key for spec in job.trials}
        self.running |= keys
        self.busy_slots[lease.slot] = keys
        self.most_at_once = max(self.most_at_once, len(self.running))
        return job

    def report(self, key: Attempt, report: Report) -> Decision:
        assert key in self.running, "a report of an attempt that is not running"
        self.reports.setdefault(key, []).append(report)
        self.order.append((key.trial, report.step))
        return self._answers.get((key.trial, report.step), Decision.CONTINUE)

    def end(self, key: Attempt, ending: Ending) -> None:
        assert key in self.running, "an end of an attempt that is not running"
        self.running.discard(key)
        for keys in self.busy_slots.values():
            keys.discard(key)
        self.endings[key] = ending

    def cancellations(self) -> Mapping[Attempt, Decision]:
        return {
            key: self._cancel[key.trial]
            for key in self.running
            if key.trial in self._cancel and key in self.reports
        }

    @property
    def outcomes(self) -> dict[int, Outcome]:
        return {key.trial: ending.outcome for key, ending in sorted(self.endings.items())}

    def steps(self, trial: int) -> list[int]:
        return [report.step for report in self.reports.get(Attempt(trial, 0), [])]


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    def make(*trials: tuple[int, dict[str, Any]]) -> Job:
        return Job(
            tuple(
                TrialSpec(Attempt(number, 0), params, 7, str(tmp_path / str(number)))
                for number, params in trials
            )
        )

    return make


Make = Callable[..., Job]


def test_run_several_jobs_ends_each_once_with_its_reports_in_order(
    backend: Backend, job: Make
) -> None:
    feed = RecordedFeed([job((n, {"epochs": 3, "value": n / 10})) for n in range(6)])
    backend.run(feed)
    assert feed.outcomes == dict.fromkeys(range(6), Outcome.COMPLETE)
    assert all(feed.steps(number) == [1, 2, 3] for number in range(6))
    assert feed.reports[Attempt(4, 0)][0].metrics[METRIC] == 0.4
    assert feed.reports[Attempt(4, 0)][0].time_ms == 1_700_000_000_001
    assert feed.endings[Attempt(4, 0)].value == 0.42
    assert feed.endings[Attempt(4, 0)].best_step == 3


def test_run_uses_every_slot_at_once(backend: Backend, job: Make) -> None:
    # Of different lengths: the slot that is done first has to wait for the other.
    feed = RecordedFeed([job((n, {"epochs": 2 + 3 * n, "epoch_s": 0.3})) for n in range(2)])
    backend.run(feed)
    slots = 1 if isinstance(backend, InlineBackend) else 2
    assert backend.slots() == feed.most_at_once == slots
    assert (NoJob.WAIT in feed.said) == (slots > 1)


def test_run_done_at_once_asks_for_no_report(backend: Backend) -> None:
    feed = RecordedFeed([])
    backend.run(feed)
    assert feed.said
    assert set(feed.said) == {NoJob.DONE}
    assert feed.endings == {}


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        (Decision.STOP, Outcome.PRUNED),
        (Decision.PAUSE, Outcome.PAUSED),
        (Decision.TIME_OUT, Outcome.TIMED_OUT),
    ],
)
def test_report_answered_with_a_decision_ends_the_trial_there(
    backend: Backend, job: Make, decision: Decision, outcome: Outcome
) -> None:
    jobs = [job((n, {"epochs": 4})) for n in range(3)]
    feed = RecordedFeed(jobs, answers={(1, 2): decision})
    backend.run(feed)
    assert feed.outcomes == {0: Outcome.COMPLETE, 1: outcome, 2: Outcome.COMPLETE}
    assert feed.steps(1) == [1, 2]
    assert feed.steps(2) == [1, 2, 3, 4]


def test_cancellation_between_reports_ends_the_trial_before_its_next(
    backend: Backend, job: Make
) -> None:
    jobs = [job((0, {"epochs": 3, "epoch_s": 0.5})), job((1, {"epochs": 2}))]
    feed = RecordedFeed(jobs, cancel={0: Decision.PAUSE})
    backend.run(feed)
    assert feed.outcomes == {0: Outcome.PAUSED, 1: Outcome.COMPLETE}
    assert feed.steps(0) == [1]


def test_exception_fails_its_trial_with_the_traceback_and_the_search_goes_on(
    backend: Backend, job: Make
) -> None:
    jobs = [
        job((0, {"epochs": 3, "act": "raise", "at": 2})),
        job((1, {"act": "out of memory"})),
        job((2, {"epochs": 2})),
    ]
    feed = RecordedFeed(jobs)
    backend.run(feed)
    assert feed.outcomes == {0: Outcome.FAILED, 1: Outcome.OUT_OF_MEMORY, 2: Outcome.COMPLETE}
    failed = feed.endings[Attempt(0, 0)]
    assert failed.value is None
    assert "the learning rate is" in failed.reason
    assert "ValueError: the learning rate is" in failed.traceback
    assert "tests/objectives.py" in failed.traceback
    assert feed.endings[Attempt(1, 0)].reason == "not even one example fits"
    assert feed.steps(0) == [1]


@pytest.mark.parametrize(
    "backend", ["local", pytest.param("ray", marks=pytest.mark.slow)], indirect=True
)
def test_log_that_cannot_be_written_is_the_disks_and_the_worker_goes_on(
    backend: Backend, job: Make, tmp_path: Path
) -> None:
    """Here a folder has its name.

    Fails without `writing` in `print_to_log`; where that is outside of the try, the worker dies.
    """
    log = tmp_path / "0" / "log.txt"
    log.mkdir(parents=True)
    feed = RecordedFeed([job((0, {"epochs": 1})), job((1, {"epochs": 1}))])
    backend.run(feed)
    assert feed.outcomes == {0: Outcome.FAILED, 1: Outcome.COMPLETE}
    ending = feed.endings[Attempt(0, 0)]
    assert ending.reason.startswith(f"{log} cannot be written: Is a directory. ")
    assert ending.fault is not None
    assert ending.fault.reach is Reach.MACHINE


def test_job_of_several_trials_ends_each_of_them_on_one_lease(backend: Backend, job: Make) -> None:
    both = job((0, {"epochs": 2}), (1, {"epochs": 3, "value": 0.1}))
    feed = RecordedFeed([both, job((2, {}))], answers={(0, 1): Decision.STOP})
    backend.run(feed)
    assert feed.outcomes == {0: Outcome.PRUNED, 1: Outcome.COMPLETE, 2: Outcome.COMPLETE}
    assert feed.steps(1) == [1, 2, 3]


def test_job_trained_in_step_has_each_trial_reported_pruned_and_ended_as_its_own(
    joint_backend: Backend, job: Make
) -> None:
    three = job((0, {"epochs": 2}), (1, {"epochs": 3, "value": 0.1}), (2, {"epochs": 4}))
    feed = RecordedFeed([three, job((3, {}))], answers={(2, 2): Decision.STOP})
    joint_backend.run(feed)
    together = [(trial, step) for trial, step in feed.order if trial < 3]
    assert together == [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (1, 3)]
    assert feed.outcomes == {
        0: Outcome.COMPLETE,
        1: Outcome.COMPLETE,
        2: Outcome.PRUNED,
        3: Outcome.COMPLETE,
    }
    assert feed.endings[Attempt(1, 0)].value == 0.12
    ends = [key.trial for key in feed.endings if key.trial < 3]
    assert ends[-1] == 1


def test_cancellation_of_one_trial_of_a_job_leaves_the_others_alone(
    joint_backend: Backend, job: Make
) -> None:
    both = job((0, {"epochs": 3, "epoch_s": 0.4}), (1, {"epochs": 3, "epoch_s": 0.4}))
    feed = RecordedFeed([both], cancel={0: Decision.PAUSE})
    joint_backend.run(feed)
    assert feed.outcomes == {0: Outcome.PAUSED, 1: Outcome.COMPLETE}
    assert feed.steps(0) == [1]
    assert feed.steps(1) == [1, 2, 3]


@pytest.mark.parametrize("act", ["raise", "out of memory"])
def test_exception_of_a_whole_job_loses_the_trials_that_had_not_ended_and_says_why(
    joint_backend: Backend, job: Make, act: str
) -> None:
    if isinstance(joint_backend, SimulatedBackend):
        pytest.skip("a script has no job that could raise")
    three = job((0, {"epochs": 1}), (1, {"epochs": 3}), (2, {"epochs": 3, "act": act, "at": 2}))
    feed = RecordedFeed([three, job((3, {}))])
    joint_backend.run(feed)
    assert feed.outcomes == {
        0: Outcome.COMPLETE,
        1: Outcome.LOST,
        2: Outcome.LOST,
        3: Outcome.COMPLETE,
    }
    lost = feed.endings[Attempt(1, 0)]
    assert lost.reason.startswith("a job of 3 trials failed: ")
    assert "tests/objectives.py" in lost.traceback
    assert lost.value is None


@pytest.mark.parametrize("name", ["local", pytest.param("ray", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("act", "silence"),
    [("hang", Silence(4.0)), ("loop", Silence(4.0, is_computing_life=False))],
)
def test_job_that_shows_no_sign_of_life_is_ended_and_the_others_run(
    start: Start, job: Make, name: str, act: str, silence: Silence
) -> None:
    hangs = job((0, {"act": act, "epoch_s": 600.0}))
    feed = RecordedFeed([hangs, job((1, {"epochs": 2, "epoch_s": 4.0})), job((2, {}))])
    start(name, silence=silence).run(feed)
    assert feed.outcomes == {0: Outcome.LOST, 1: Outcome.COMPLETE, 2: Outcome.COMPLETE}
    reason = feed.endings[Attempt(0, 0)].reason
    assert "showed no sign of life for 4 s (search.silence): killed" in reason


@pytest.mark.parametrize("name", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_second_pass_that_hangs_stops_the_search(
    start: Start, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("runner.backends.life.START_S", 5.0)
    if name == "ray":
        monkeypatch.setattr("runner.backends.ray.backend.LOOK_EVERY_S", 0.5)
    backend = start(name, HangsBefore("inspect"), silence=Silence(2.0))
    with pytest.raises(SearchStopped, match=r"showed no sign of life for \d+ s \(search.sil"):
        backend.inspect()


@pytest.mark.parametrize("name", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_worker_killed_in_the_second_pass_is_started_again(
    start: Start, tmp_path: Path, name: str
) -> None:
    """Two times, as kills at random found; fails where the first or second stops the search."""
    backend = start(name, KilledWhileInspecting(tmp_path / "deaths", 2))
    assert backend.inspect().details == {"deaths": 2}


def test_feed_that_stops_early_leaves_the_rest_undone(backend: Backend, job: Make) -> None:
    feed = RecordedFeed([job((n, {})) for n in range(50)], stop_after=3)
    backend.run(feed)
    assert 3 <= len(feed.endings) <= 4
    assert not feed.running


def test_run_again_after_the_first_feed_is_done_serves_the_next(
    backend: Backend, job: Make
) -> None:
    for number in (0, 1):
        feed = RecordedFeed([job((number, {}))])
        backend.run(feed)
        assert feed.outcomes == {number: Outcome.COMPLETE}


@pytest.mark.parametrize("name", NAMES)
def test_close_twice_is_harmless(start: Start, name: str) -> None:
    backend = start(name)
    backend.close()
    backend.close()
