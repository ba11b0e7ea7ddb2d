"""Between Ray Tune's loop and a study's feed: which Tune trial runs which job, on which slot.

A Tune trial is a job of ours. Knows nothing of Ray, so that it can be read, and tested, without.
"""

import heapq
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from runner.backends.contract import Feed, NoJob
from runner.errors import SearchStopped
from runner.trial import Attempt, Decision, Ending, Job, Lease, Outcome, Report

# A worker that dies this often in a row without ending a trial will not do better.
MAX_DEATHS_IN_A_ROW = 3

Message = tuple[str, Attempt, Report | Ending]
"""What a worker says: "report" or "end", of which attempt, and the report or the ending."""


class Slots(Protocol):
    """How many jobs may run at once, and what each of them holds."""

    def count(self) -> int:
        """Jobs that may run just now; may change from call to call."""
        ...

    def lease(self, slot: int) -> Lease:
        """What the job in a slot holds, as its worker sees it."""
        ...


class Workers(Protocol):
    """What can be done to Tune's trials from outside."""

    def is_waiting(self, trial_id: str) -> bool:
        """Whether it has no worker yet."""
        ...

    def give_up(self, trial_id: str) -> None:
        """End one that waits; `Bridge.over` is called for it."""
        ...

    def kill(self, trial_id: str) -> None:
        """End the worker of one."""
        ...


@dataclass(frozen=True)
class Answers:
    """What a worker is told between two of its messages.

    Attributes:
        reports: Decisions on reports, by attempt and step.
        wanted: What the study wants of running attempts, whenever they look.
    """

    reports: Mapping[tuple[Attempt, int], Decision]
    wanted: Mapping[Attempt, Decision]

    def __bool__(self) -> bool:
        return bool(self.reports or self.wanted)


@dataclass
class _Running:
    """A job that has been given out.

    Attributes:
        job: The job.
        slot: Where.
        open: Attempts that have not ended.
        told: What the worker has been told of them.
        kill_at: When an attempt that was told to leave has had its time, monotonic.
        heard_s: When the worker last said anything of a trial.
        is_killed: Whether its worker was killed because it did not leave.
    """

    job: Job
    slot: int
    open: set[Attempt]
    told: dict[Attempt, Decision] = field(default_factory=dict)
    kill_at: dict[Attempt, float] = field(default_factory=dict)
    heard_s: float = field(default_factory=time.monotonic)
    is_killed: bool = False

    def has_hung(self, grace_s: float) -> bool:
        """Whether a trial that was told to leave does not, and killing it costs no other."""
        now_s = time.monotonic()
        if all(now_s <= at for at in self.kill_at.values()):
            return False
        return self.open <= self.told.keys() or now_s > self.heard_s + grace_s


class Bridge:
    """Turns Tune's questions into the feed's, and keeps every attempt's end to exactly one.

    Args:
        feed: The study's side.
        slots: How many jobs may run.
        grace_s: Seconds a cancelled trial gets to leave by itself.

    Attributes:
        failure: Why the search cannot go on, if so.
    """

    def __init__(self, feed: Feed, slots: Slots, *, grace_s: float) -> None:
        self._feed = feed
        self._slots = slots
        self._grace_s = grace_s
        self._running: dict[str, _Running] = {}
        self._free: list[int] = []
        self._used = 0
        self._deaths = 0
        self.failure: Exception | None = None

    def next(self, trial_id: str) -> tuple[Job, Lease] | NoJob:
        """A job for a new Tune trial."""
        if self.failure is not None:
            return NoJob.DONE
        if len(self._running) >= max(1, self._slots.count()):
            return NoJob.WAIT
        slot = heapq.heappop(self._free) if self._free else self._used
        lease = self._slots.lease(slot)
        job = self._feed.next(lease)
        if not isinstance(job, Job):
            if slot < self._used:
                heapq.heappush(self._free, slot)
            return job
        self._used = max(self._used, slot + 1)
        self._running[trial_id] = _Running(job, slot, {spec.key for spec in job.trials})
        return job, lease

    def hear(self, trial_id: str, messages: Iterable[Message]) -> Answers:
        """Pass on what a worker says; gives what it is to be told."""
        running = self._running.get(trial_id)
        reports: dict[tuple[Attempt, int], Decision] = {}
        for _, key, content in messages:
            is_open = running is not None and key in running.open
            if running is not None:
                running.heard_s = time.monotonic()
            if isinstance(content, Report):
                decision = self._feed.report(key, content) if is_open else Decision.STOP
                reports[key, content.step] = decision
            elif running is not None and is_open:
                self._end(running, key, content)
                self._deaths = 0
        return Answers(reports, self._wanted(running))

    def over(self, trial_id: str, *, why: str | None = None) -> None:
        """A Tune trial has ended; what it had not ended is lost.

        Args:
            trial_id: Which.
            why: How its worker died; None where it did not.
        """
        running = self._running.pop(trial_id, None)
        if running is None:
            return
        reason = why or "its worker ended without a word of it"
        if running.is_killed:
            reason = f"did not leave within {self._grace_s:g} s of being told to, and was killed"
        for key in sorted(running.open):
            told = running.told.get(key)
            outcome = Outcome.LOST if told is None else told.outcome
            self._end(running, key, Ending(outcome, reason=reason))
        heapq.heappush(self._free, running.slot)
        self._deaths += why is not None and not running.is_killed
        if self._deaths >= MAX_DEATHS_IN_A_ROW:
            self.failure = SearchStopped(
                f"{reason}; {self._deaths} times in a row, so the search stops"
            )

    def tick(self, workers: Workers) -> None:
        """Let the feed look at its clock; end what is not wanted and does not hear of it."""
        wanted = self._feed.cancellations()
        for trial_id, running in list(self._running.items()):
            if running.open <= wanted.keys() and workers.is_waiting(trial_id):
                running.told.update({key: wanted[key] for key in running.open})
                workers.give_up(trial_id)
            elif running.has_hung(self._grace_s) and not running.is_killed:
                running.is_killed = True
                workers.kill(trial_id)

    def abandon(self, why: str) -> None:
        """Close whatever is still open: Tune has ended."""
        for trial_id in list(self._running):
            self.over(trial_id, why=why)

    def _wanted(self, running: _Running | None) -> dict[Attempt, Decision]:
        """What has not been told yet of what the study wants of a job's attempts."""
        if running is None:
            return {}
        wanted = self._feed.cancellations()
        news = {
            key: wanted[key]
            for key in running.open & wanted.keys()
            if running.told.get(key) is not wanted[key]
        }
        for key in news:
            running.kill_at.setdefault(key, time.monotonic() + self._grace_s)
        running.told.update(news)
        return news

    def _end(self, running: _Running, key: Attempt, ending: Ending) -> None:
        running.open.discard(key)
        running.kill_at.pop(key, None)
        self._feed.end(key, ending)
