"""A feed of given jobs that runs a lost trial again, for tests of one backend."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.backends import NoJob
from runner.trial import Attempt, Decision, Ending, Job, Lease, Outcome, Report, TrialSpec


class Trials:
    """Gives each trial out until it ends in another way than lost.

    Attributes:
        endings: Every ending, in the order they came.
        reports: Steps by attempt.
        slots: Slot by attempt.
        cancel: What is wanted of running trials; may be changed while it runs.
    """

    def __init__(
        self,
        folder: Path,
        *jobs: Sequence[Mapping[str, Any]],
        cancel: Mapping[int, Decision] | None = None,
        on_report: Callable[[Attempt, Report], None] | None = None,
    ) -> None:
        self._folder = folder
        numbers = iter(range(1000))
        self._jobs = [
            [self._spec(Attempt(next(numbers), 0), params) for params in job] for job in jobs
        ]
        self._on_report = on_report
        self._running: dict[Attempt, TrialSpec] = {}
        self.cancel = dict(cancel or {})
        self.endings: list[tuple[Attempt, Ending]] = []
        self.reports: dict[Attempt, list[int]] = {}
        self.slots: dict[Attempt, int] = {}

    def _spec(self, key: Attempt, params: Mapping[str, Any]) -> TrialSpec:
        return TrialSpec(key, params, 7, str(self._folder / f"trial-{key.trial}"))

    def next(self, lease: Lease) -> Job | NoJob:
        if not self._jobs:
            return NoJob.WAIT if self._running else NoJob.DONE
        specs = self._jobs.pop(0)
        for spec in specs:
            self._running[spec.key] = spec
            self.slots[spec.key] = lease.slot
        return Job(tuple(specs))

    def report(self, key: Attempt, report: Report) -> Decision:
        assert key in self._running
        self.reports.setdefault(key, []).append(report.step)
        if self._on_report is not None:
            self._on_report(key, report)
        return Decision.CONTINUE

    def end(self, key: Attempt, ending: Ending) -> None:
        spec = self._running.pop(key)
        self.endings.append((key, ending))
        if ending.outcome is Outcome.LOST:
            again = Attempt(key.trial, key.attempt + 1)
            self._jobs.insert(0, [self._spec(again, spec.params)])

    def cancellations(self) -> Mapping[Attempt, Decision]:
        return {key: self.cancel[key.trial] for key in self._running if key.trial in self.cancel}

    @property
    def outcomes(self) -> dict[tuple[int, int], Outcome]:
        return {(key.trial, key.attempt): ending.outcome for key, ending in self.endings}

    def ending(self, trial: int, attempt: int = 0) -> Ending:
        return dict(self.endings)[Attempt(trial, attempt)]
