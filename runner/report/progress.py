"""How far a running search has come, as its events tell it.

Nothing of it takes longer, or more memory, for the trials that have ended before.
"""

import time
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from runner.study import TrialRecord
from runner.trial import Lease, Outcome, Report

SHOWN_BEST = 5


@dataclass
class Goal:
    """What a view needs to know about the search.

    Attributes:
        name: The study's.
        metric: Its validation metric.
        is_maximized: Whether larger is better.
        trials: The budget of trials.
        time_s: The budget of time in seconds, or None.
        used_before_s: Seconds that earlier commands used.
    """

    name: str
    metric: str
    is_maximized: bool
    trials: int
    time_s: float | None
    used_before_s: float = 0.0


@dataclass
class Running:
    """A trial that runs.

    Attributes:
        trial: As it was when it began.
        lease: Where it runs.
        epochs: How many it trains if left alone; None if nobody knows.
        epoch: The last that it has reported; 0 before the first.
        value: Of the metric then.
    """

    trial: TrialRecord
    lease: Lease
    epochs: int | None
    epoch: int = 0
    value: float | None = None


class Progress:
    """The state of a search.

    Args:
        goal: What it is after.

    Attributes:
        goal: The same.
        slots: Most trials that ran at once.
        running: Trials that run, by number.
        counts: How many trials have ended for good, by outcome, in the order these first came.
        best: The best complete trials that are shown, the best first.
    """

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self.slots = 1
        self.running: dict[int, Running] = {}
        self.counts: Counter[Outcome] = Counter()
        self.best: list[TrialRecord] = []
        self._finished: set[int] = set()
        # Of each device, how many trials run in each slot.
        self._places: dict[str, Counter[int]] = defaultdict(Counter)
        self._attempts = 0
        self._taken_s = 0.0
        self._started_s = time.monotonic()

    def began(self, trial: TrialRecord, lease: Lease, epochs: int | None) -> None:
        """See `Listener.began`."""
        self.running[trial.number] = Running(trial, lease, epochs)
        self._places[lease.place][lease.slot] += 1
        self.slots = max(self.slots, len(self.running))

    def reported(self, trial: int, report: Report) -> None:
        """See `Listener.reported`."""
        if (running := self.running.get(trial)) is not None:
            running.epoch = report.step
            running.value = report.metrics.get(f"validation/{self.goal.metric}")

    def ended(self, trial: TrialRecord) -> None:
        """See `Listener.ended`."""
        if (running := self.running.pop(trial.number, None)) is not None:
            there = self._places[running.lease.place]
            there[running.lease.slot] -= 1
            if not there[running.lease.slot]:
                del there[running.lease.slot]
        self._keep(trial)
        if trial.started and trial.ended:
            self._attempts += 1
            self._taken_s += (trial.ended - trial.started).total_seconds()

    def remember(self, trials: Iterable[TrialRecord]) -> None:
        """Take over the trials of earlier commands."""
        for trial in trials:
            self._keep(trial)

    def where(self, lease: Lease) -> str:
        """A lease's device, and how many other jobs run on it now."""
        others = len(self._places[lease.place].keys() - {lease.slot})
        return f"{lease.shown} beside {others}" if others else lease.shown

    @property
    def finished(self) -> int:
        """Trials that have ended for good."""
        return len(self._finished)

    def time_left_s(self) -> float | None:
        """Guess of the seconds to the end, from the trials so far; None while unknown."""
        guesses = []
        if self._attempts:
            mean_s = self._taken_s / self._attempts
            guesses.append((self.goal.trials - self.finished) * mean_s / self.slots)
        if self.goal.time_s is not None:
            used_s = self.goal.used_before_s + time.monotonic() - self._started_s
            guesses.append(max(0.0, self.goal.time_s - used_s))
        return min(guesses) if guesses else None

    def _keep(self, trial: TrialRecord) -> None:
        if trial.outcome is None or trial.is_waiting or trial.number in self._finished:
            return
        self._finished.add(trial.number)
        self.counts[trial.outcome] += 1
        if trial.outcome is Outcome.COMPLETE:
            sign = -1 if self.goal.is_maximized else 1
            insort(self.best, trial, key=lambda each: (sign * (each.value or 0.0), each.number))
            del self.best[SHOWN_BEST:]
