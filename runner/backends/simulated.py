"""Runs scripted jobs on a simulated clock with as many slots as one likes."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from runner.backends.contract import Feed, NoJob
from runner.trial import Decision, Ending, Facts, Job, Lease, Report, TrialSpec


class Script(Protocol):
    """What trials do, without doing it."""

    def reports(self, spec: TrialSpec) -> Iterable[tuple[float, Report]]:
        """A trial's reports, each with the seconds since the one before (or the start)."""
        ...

    def ending(self, spec: TrialSpec, reports: list[Report]) -> Ending:
        """How the trial ends when it is left to run."""
        ...


@dataclass(order=True)
class _Event:
    time_s: float
    order: int
    lease: Lease = field(compare=False)
    spec: TrialSpec = field(compare=False)
    report: Report | None = field(compare=False)
    rest: Iterator[tuple[float, Report]] = field(compare=False)
    past: list[Report] = field(compare=False)


class SimulatedBackend:
    """A search of thousands of trials replays in seconds.

    The trials of a job begin together and hold their slot until the last of them has ended.

    The feed's calls come in the order of simulated time, as they would from real workers.

    Args:
        script: What the trials do.
        slots: How many leases there are, each with a device of its own.
        facts: What the second pass finds out.
        leases: The leases themselves, in place of `slots`.

    Attributes:
        now_s: The simulated clock, seconds.
        busy_s: Slot-seconds spent on jobs; over `now_s * slots` it is the utilisation.
    """

    def __init__(
        self,
        script: Script,
        *,
        slots: int = 1,
        facts: Facts | None = None,
        leases: Sequence[Lease] | None = None,
    ) -> None:
        self._script = script
        self._idle = list(reversed(leases or [Lease(slot=number) for number in range(slots)]))
        self._facts = facts or Facts()
        self._events: list[_Event] = []
        self._open: dict[int, int] = {}
        self._began_s: dict[int, float] = {}
        self._order = 0
        self.now_s = 0.0
        self.busy_s = 0.0

    def inspect(self) -> Facts:
        """The facts given at construction."""
        return self._facts

    def run(self, feed: Feed) -> None:
        """See `Backend.run`.

        Raises:
            RuntimeError: If the feed says WAIT with nothing running: nobody could end the wait.
        """
        while True:
            answer = self._fill_slots(feed)
            if not self._events:
                if answer is NoJob.WAIT:
                    raise RuntimeError("the feed waits although no job is running")
                return
            self._advance(feed)

    def close(self) -> None:
        """Nothing to release."""

    def _fill_slots(self, feed: Feed) -> NoJob | None:
        """Give out jobs while there are any; why there is none for a slot that stays idle."""
        while self._idle:
            for lease in reversed(self._idle):
                answer = feed.next(lease)
                # Where leases share a device, what one may not begin another may.
                if isinstance(answer, Job) or lease.share is None:
                    break
            if not isinstance(answer, Job):
                return answer
            self._idle.remove(lease)
            self._begin(lease, answer)
        return None

    def _begin(self, lease: Lease, job: Job) -> None:
        self._open[lease.slot] = len(job.trials)
        self._began_s[lease.slot] = self.now_s
        for spec in job.trials:
            self._schedule(lease, spec, iter(self._script.reports(spec)), [])

    def _schedule(
        self,
        lease: Lease,
        spec: TrialSpec,
        rest: Iterator[tuple[float, Report]],
        past: list[Report],
    ) -> None:
        duration_s, report = next(rest, (0.0, None))
        self._order += 1
        event = _Event(self.now_s + duration_s, self._order, lease, spec, report, rest, past)
        heapq.heappush(self._events, event)

    def _advance(self, feed: Feed) -> None:
        event = heapq.heappop(self._events)
        self.now_s = event.time_s
        decision = feed.cancellations().get(event.spec.key, Decision.CONTINUE)
        if decision is Decision.CONTINUE and event.report is not None:
            event.past.append(event.report)
            decision = feed.report(event.spec.key, event.report)
            if decision is Decision.CONTINUE:
                self._schedule(event.lease, event.spec, event.rest, event.past)
                return
        ending = self._script.ending(event.spec, event.past)
        if decision is not Decision.CONTINUE:
            ending = Ending(decision.outcome, ending.value, ending.best_step)
        self._end(feed, event, ending)

    def _end(self, feed: Feed, event: _Event, ending: Ending) -> None:
        feed.end(event.spec.key, ending)
        self._open[event.lease.slot] -= 1
        if self._open[event.lease.slot] == 0:
            self._idle.append(event.lease)
            self.busy_s += self.now_s - self._began_s[event.lease.slot]
