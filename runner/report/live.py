"""What a person sees while a search runs: a live table on a terminal, plain lines elsewhere."""

import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, TextIO

from runner.report.leaderboard import value_text
from runner.report.progress import Goal, Progress
from runner.study import TrialRecord
from runner.trial import Lease, Outcome, Report

if TYPE_CHECKING:
    from rich.console import Group

# Left because they were told to, or ended well; every other outcome is a failure.
LEFT = frozenset({Outcome.COMPLETE, Outcome.PRUNED, Outcome.PAUSED, Outcome.INTERRUPTED})
SHOWN_FAILURES = 3
# Rows of trials that run: whoever has more slots sees the first ones, and the best trials below.
SHOWN_SLOTS = 16


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
        self._progress.ended(trial)
        best = next(iter(self._progress.best), None)
        leading = f"; best {value_text(best.value)} (trial {best.number})" if best else ""
        self._say(f"trial {trial.number} {describe_end(trial, self._progress.goal)}{leading}")

    def noted(self, text: str) -> None:
        """See `Listener.noted`."""
        self._say(text)

    def _say(self, text: str) -> None:
        done = f"{self._progress.finished}/{self._progress.goal.trials}"
        print(f"[{done}] {text}", file=self._out, flush=True)


class LiveView:
    """A table that redraws itself: slots, the best trials, the last failures, time left."""

    def __init__(self, goal: Goal) -> None:
        self._progress = Progress(goal)
        self._note = ""
        self._failures: deque[str] = deque(maxlen=SHOWN_FAILURES)
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
            self._progress.ended(trial)
            if trial.outcome not in LEFT:
                said = describe_end(trial, self._progress.goal)
                self._failures.append(f"trial {trial.number} {said}")

    def noted(self, text: str) -> None:
        """See `Listener.noted`."""
        with self._lock:
            self._note = text

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw it on the terminal while the context lasts."""
        from rich.live import Live

        with Live(get_renderable=self.render, refresh_per_second=4):
            yield

    def render(self) -> "Group":
        """The picture of this moment."""
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            tables = (_slots(self._progress), _best(self._progress))
            failures = [Text(line, "red", overflow="fold") for line in self._failures]
            return Group(_headline(self._progress), *_notes(self._note), *tables, *failures)


def _headline(progress: Progress) -> Any:
    from rich.text import Text

    goal = progress.goal
    left = progress.time_left_s()
    counts = ", ".join(f"{count} {name}" for name, count in progress.counts.items())
    parts = [
        (f"{goal.name}  ", "bold"),
        (f"{progress.finished}/{goal.trials} trials", ""),
        (f" ({counts})" if counts else "", "dim"),
        (f"  about {duration(left)} left" if left is not None else "", "cyan"),
        ("  Ctrl-C stops; the same command continues", "dim"),
    ]
    return Text.assemble(*parts)


def _notes(note: str) -> list[Any]:
    from rich.text import Text

    return [Text(note, "yellow")] if note else []


def _slots(progress: Progress) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("slot", "trial", "epoch", progress.goal.metric, "parameters"):
        table.add_column(Text(title))
    for running in nsmallest(SHOWN_SLOTS, progress.running.values(), lambda r: r.lease.slot):
        value = value_text(running.value)
        table.add_row(
            f"{running.lease.slot} ({progress.where(running.lease)})",
            str(running.trial.number),
            f"{running.epoch}/{running.epochs or '?'}",
            value,
            Text(short(running.trial.params)),
        )
    if (more := len(progress.running) - SHOWN_SLOTS) > 0:
        table.add_row(f"and {more:,} more", "", "", "", "")
    return table


def _best(progress: Progress) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("best", "trial", progress.goal.metric, "epoch", "parameters"):
        table.add_column(Text(title))
    for rank, trial in enumerate(progress.best, start=1):
        value = value_text(trial.value)
        table.add_row(
            str(rank), str(trial.number), value, str(trial.best_epoch), Text(short(trial.params))
        )
    return table


def describe_end(trial: TrialRecord, goal: Goal) -> str:
    """How a trial ended, in a few words."""
    if trial.outcome is Outcome.COMPLETE and trial.value is not None:
        return f"complete: {goal.metric} {value_text(trial.value)} at epoch {trial.best_epoch}"
    if trial.outcome is Outcome.PRUNED and trial.value is not None:
        return f"{trial.reason or 'pruned'}: {goal.metric} {value_text(trial.value)}"
    said = f"{trial.outcome}: {trial.reason}" if trial.reason else str(trial.outcome)
    if trial.outcome in LEFT:
        return said
    # Of a worker that died the reason names the log already.
    log = f"; its log is {trial.log}" if trial.log and "its log is" not in said else ""
    again = "; it is run again" if trial.is_waiting else ""
    return f"{said}{log}{again}"


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
