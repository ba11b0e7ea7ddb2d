"""What a person sees while a search runs: a live table on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from runner.report.leaderboard import value_text
from runner.study import TrialRecord
from runner.trial import Lease, Outcome, Report

if TYPE_CHECKING:
    from rich.console import Group

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
class _Running:
    trial: TrialRecord
    lease: Lease
    epochs: int | None
    epoch: int = 0
    value: float | None = None


@dataclass
class Progress:
    """The state of a search as its events tell it."""

    goal: Goal
    slots: int = 1
    running: dict[int, _Running] = field(default_factory=dict)
    ended: dict[int, TrialRecord] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)
    _durations_s: list[float] = field(default_factory=list)
    _finished: set[int] = field(default_factory=set)
    # Complete trials, the best first; kept so that an ending costs the same after 10,000.
    _order: list[tuple[float, int]] = field(default_factory=list)

    def began(self, trial: TrialRecord, lease: Lease, epochs: int | None) -> None:
        """See `Listener.began`."""
        self.running[trial.number] = _Running(trial, lease, epochs)
        self.slots = max(self.slots, len(self.running))

    def reported(self, trial: int, report: Report) -> None:
        """See `Listener.reported`."""
        if (running := self.running.get(trial)) is not None:
            running.epoch = report.step
            running.value = report.metrics.get(f"validation/{self.goal.metric}")

    def ended_one(self, trial: TrialRecord) -> None:
        """See `Listener.ended`."""
        self.running.pop(trial.number, None)
        self._keep(trial)
        if trial.started and trial.ended:
            self._durations_s.append((trial.ended - trial.started).total_seconds())

    def remember(self, trials: Iterable[TrialRecord]) -> None:
        """Take over the trials of earlier commands."""
        for trial in trials:
            if trial.outcome is not None:
                self._keep(trial)

    def where(self, lease: Lease) -> str:
        """A lease's device, and how many other jobs run on it now."""
        slots = {r.lease.slot for r in self.running.values() if r.lease.place == lease.place}
        others = len(slots - {lease.slot})
        return f"{lease.devices[0]} beside {others}" if others else lease.devices[0]

    @property
    def finished(self) -> int:
        """Trials that have ended for good."""
        return len(self._finished)

    def best(self) -> list[TrialRecord]:
        """The best complete trials that are shown, the best first."""
        return [self.ended[number] for _, number in self._order[:SHOWN_BEST]]

    def _keep(self, trial: TrialRecord) -> None:
        self.ended[trial.number] = trial
        if not trial.is_waiting:
            self._finished.add(trial.number)
        if trial.outcome is Outcome.COMPLETE:
            sign = -1 if self.goal.is_maximized else 1
            insort(self._order, (sign * (trial.value or 0.0), trial.number))

    def time_left_s(self) -> float | None:
        """Guess of the seconds to the end, from the trials so far; None while unknown."""
        guesses = []
        if self._durations_s:
            mean_s = sum(self._durations_s) / len(self._durations_s)
            guesses.append((self.goal.trials - self.finished) * mean_s / self.slots)
        if self.goal.time_s is not None:
            used_s = self.goal.used_before_s + time.monotonic() - self.started_s
            guesses.append(max(0.0, self.goal.time_s - used_s))
        return min(guesses) if guesses else None


class PlainView:
    """One line an event: for logs, pipes and scripts."""

    def __init__(self, goal: Goal, out: TextIO | None = None) -> None:
        self._progress = Progress(goal)
        self._out = out or sys.stdout

    def remember(self, trials: Iterable[TrialRecord]) -> None:
        """Take over the trials of earlier commands."""
        self._progress.remember(trials)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Nothing to draw."""
        yield

    def began(self, trial: TrialRecord, lease: Lease, epochs: int | None) -> None:
        """See `Listener.began`."""
        self._progress.began(trial, lease, epochs)
        verb = "goes on" if trial.attempt else "begins"
        where = self._progress.where(lease)
        self._say(f"trial {trial.number} {verb} on {where}: {short(trial.params)}")

    def reported(self, trial: int, report: Report) -> None:
        """See `Listener.reported`."""
        self._progress.reported(trial, report)

    def ended(self, trial: TrialRecord) -> None:
        """See `Listener.ended`."""
        self._progress.ended_one(trial)
        best = next(iter(self._progress.best()), None)
        leading = f"; best {value_text(best.value)} (trial {best.number})" if best else ""
        self._say(f"trial {trial.number} {describe_end(trial, self._progress.goal)}{leading}")

    def _say(self, text: str) -> None:
        done = f"{self._progress.finished}/{self._progress.goal.trials}"
        print(f"[{done}] {text}", file=self._out, flush=True)


class LiveView:
    """A table that redraws itself: slots, the best trials, time left."""

    def __init__(self, goal: Goal) -> None:
        self._progress = Progress(goal)
        self._lock = threading.Lock()

    def remember(self, trials: Iterable[TrialRecord]) -> None:
        """Take over the trials of earlier commands."""
        with self._lock:
            self._progress.remember(trials)

    def began(self, trial: TrialRecord, lease: Lease, epochs: int | None) -> None:
        """See `Listener.began`."""
        with self._lock:
            self._progress.began(trial, lease, epochs)

    def reported(self, trial: int, report: Report) -> None:
        """See `Listener.reported`."""
        with self._lock:
            self._progress.reported(trial, report)

    def ended(self, trial: TrialRecord) -> None:
        """See `Listener.ended`."""
        with self._lock:
            self._progress.ended_one(trial)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw it on the terminal while the context lasts."""
        from rich.live import Live

        with Live(get_renderable=self.render, refresh_per_second=4):
            yield

    def render(self) -> "Group":
        """The picture of this moment."""
        from rich.console import Group

        with self._lock:
            return Group(_headline(self._progress), _slots(self._progress), _best(self._progress))


def _headline(progress: Progress) -> Any:
    from rich.text import Text

    goal = progress.goal
    left = progress.time_left_s()
    counts = _counts(progress)
    parts = [
        (f"{goal.name}  ", "bold"),
        (f"{progress.finished}/{goal.trials} trials", ""),
        (f" ({counts})" if counts else "", "dim"),
        (f"  about {duration(left)} left" if left is not None else "", "cyan"),
        ("  Ctrl-C stops; the same command continues", "dim"),
    ]
    return Text.assemble(*parts)


def _counts(progress: Progress) -> str:
    names = [str(t.outcome) for t in progress.ended.values() if not t.is_waiting]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def _slots(progress: Progress) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("slot", "trial", "epoch", progress.goal.metric, "parameters"):
        table.add_column(title)
    for running in sorted(progress.running.values(), key=lambda r: r.lease.slot):
        value = value_text(running.value)
        table.add_row(
            f"{running.lease.slot} ({progress.where(running.lease)})",
            str(running.trial.number),
            f"{running.epoch}/{running.epochs or '?'}",
            value,
            short(running.trial.params),
        )
    return table


def _best(progress: Progress) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("best", "trial", progress.goal.metric, "epoch", "parameters"):
        table.add_column(title)
    for rank, trial in enumerate(progress.best(), start=1):
        value = value_text(trial.value)
        table.add_row(
            str(rank), str(trial.number), value, str(trial.best_epoch), short(trial.params)
        )
    return table


def describe_end(trial: TrialRecord, goal: Goal) -> str:
    """How a trial ended, in a few words."""
    if trial.outcome is Outcome.COMPLETE and trial.value is not None:
        return f"complete: {goal.metric} {value_text(trial.value)} at epoch {trial.best_epoch}"
    if trial.outcome is Outcome.PRUNED and trial.value is not None:
        return f"{trial.reason or 'pruned'}: {goal.metric} {value_text(trial.value)}"
    return f"{trial.outcome}: {trial.reason}" if trial.reason else str(trial.outcome)


def short(params: Mapping[str, Any]) -> str:
    """Parameters in one line, numbers rounded for reading."""
    return "  ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )


def duration(seconds: float) -> str:
    """Seconds as people say them: "45 s", "3 min", "2 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
