"""Between Ray Tune's loop and a study's feed: which Tune trial runs which job, on which slot.

A Tune trial is a job of ours. Knows nothing of Ray, so that it can be read, and tested, without.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from runner.backends.contract import Feed, NoJob
from runner.backends.given import MAX_DEATHS_IN_A_ROW, Given
from runner.backends.life import Silence
from runner.errors import SearchStopped
from runner.trial import Attempt, Decision, Ending, Job, Lease, Report

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
        slot: Where.
        given: The job.
    """

    slot: int
    given: Given


class Bridge:
    """Turns Tune's questions into the feed's, and keeps every attempt's end to exactly one.

    Args:
        feed: The study's side.
        slots: How many jobs may run.
        grace_s: Seconds a cancelled trial gets to leave by itself.
        silence: How long a worker may show no sign of life; None: for ever.
        max_deaths: Workers that die in a row, without one that ends a trial, and stop the search.

    Attributes:
        failure: Why the search cannot go on, if so.
    """

    def __init__(
        self,
        feed: Feed,
        slots: Slots,
        *,
        grace_s: float,
        silence: Silence | None = None,
        max_deaths: int = MAX_DEATHS_IN_A_ROW,
    ) -> None:
        self._feed = feed
        self._slots = slots
        self._grace_s = grace_s
        self._silence_s = None if silence is None else silence.limit_s
        self._max_deaths = max_deaths
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
        given = Given.of(job, grace_s=self._grace_s, silence_s=self._silence_s)
        self._running[trial_id] = _Running(slot, given)
        return job, lease

    def hear(
        self, trial_id: str, messages: Iterable[Message], *, is_alive: bool = True
    ) -> Answers:
        """Pass on what a worker says; gives what it is to be told.

        Args:
            trial_id: Of Tune.
            messages: In order.
            is_alive: Whether the job shows a sign of life besides.
        """
        running = self._running.get(trial_id)
        if running is not None and is_alive:
            running.given.live()
        reports: dict[tuple[Attempt, int], Decision] = {}
        for _, key, content in messages:
            if running is not None:
                running.given.hear()
            if isinstance(content, Report):
                is_open = running is not None and key in running.given.open
                decision = self._feed.report(key, content) if is_open else Decision.STOP
                reports[key, content.step] = decision
            elif running is not None and running.given.end(key):
                self._feed.end(key, content)
                self._deaths = 0
        wanted = {} if running is None else running.given.news(self._feed.cancellations())
        return Answers(reports, wanted)

    def over(self, trial_id: str, *, why: str | None = None) -> None:
        """A Tune trial has ended; what it had not ended is lost.

        Args:
            trial_id: Which.
            why: How its worker died; None where it did not.
        """
        running = self._running.pop(trial_id, None)
        if running is None:
            return
        reason = self._close(running, why or "its worker ended without a word of it")
        self._deaths += why is not None and not running.given.is_killed
        if self._deaths >= self._max_deaths and self.failure is None:
            self.failure = SearchStopped(
                f"{reason}; {self._deaths} times in a row, so the search stops"
            )

    def _close(self, running: _Running, why: str) -> str:
        """What a job had not ended is lost, and its slot is free; gives the reason."""
        given = running.given
        reason = f"its worker {given.why_killed}" if given.is_killed or given.was_silent else why
        for key, ending in given.losses(reason):
            self._feed.end(key, ending)
        heapq.heappush(self._free, running.slot)
        return reason

    def tick(self, workers: Workers) -> None:
        """Let the feed look at its clock; end what is not wanted and does not hear of it."""
        wanted = self._feed.cancellations()
        for trial_id, running in list(self._running.items()):
            given = running.given
            if given.is_silent and workers.is_waiting(trial_id):
                # It has no worker yet.
                given.live()
            if given.open <= wanted.keys() and workers.is_waiting(trial_id):
                given.news(wanted)
                workers.give_up(trial_id)
            elif given.has_hung:
                given.is_killed = True
                workers.kill(trial_id)
            elif given.is_silent:
                given.was_silent = True
                workers.kill(trial_id)

    def abandon(self, why: str) -> None:
        """Close whatever is still open: Tune has ended."""
        for trial_id in list(self._running):
            self._close(self._running.pop(trial_id), why)
