"""Runs scripted jobs on a simulated clock with as many slots as one likes."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from runner.backends.contract import Feed, NoJob
from runner.trial import Decision, Ending, Facts, Job, Lease, Report, TrialSpec

Answer = TypeVar("Answer")


class Script(Protocol):
    """What trials do, without doing it."""

    def reports(self, spec: TrialSpec) -> Iterable[tuple[float, Report]]:
        """A trial's reports, each with the seconds since the one before (or the start)."""
        ...

    def ending(self, spec: TrialSpec, reports: list[Report]) -> Ending:
        """How the trial ends when it is left to run."""
        ...


def _no_time() -> float:
    """The clock of a driver whose work takes no time."""
    return 0.0


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

    The feed's calls come in the order of simulated time, as they would from real workers. The
    driver answers one at a time. Where its work takes time, a trial goes on while its report
    waits for an answer, and a slot that waits for its next job is idle.

    Args:
        script: What the trials do.
        slots: How many leases there are, each with a device of its own.
        facts: What the second pass finds out.
        leases: The leases themselves, in place of `slots`.
        driver_clock: Seconds that the driver has worked, by a clock of its own; what passes on it
            while the feed answers passes on the simulated clock too.

    Attributes:
        now_s: The simulated clock, seconds.
        busy_s: Slot-seconds spent on jobs; over `now_s * slots` it is the utilisation.
        late_s: Of `busy_s`, what trials went on for in vain: they were to be stopped, and had not
            heard of it, because the driver was at work.
        waited_s: Slot-seconds that slots were free before they were given a job; what they are
            free at the end of a search is not among them.
    """

    def __init__(
        self,
        script: Script,
        *,
        slots: int = 1,
        facts: Facts | None = None,
        leases: Sequence[Lease] | None = None,
        driver_clock: Callable[[], float] = _no_time,
    ) -> None:
        self._script = script
        leases = leases or [Lease(slot=number) for number in range(slots)]
        self._slots = len({lease.place for lease in leases})
        self._idle = list(reversed(leases))
        self._facts = facts or Facts()
        self._events: list[_Event] = []
        self._open: dict[int, int] = {}
        self._began_s: dict[int, float] = {}
        self._left_s: dict[int, float] = {}
        self._driver_clock = driver_clock
        self._order = 0
        self.now_s = 0.0
        self.busy_s = 0.0
        self.late_s = 0.0
        self.waited_s = 0.0

    def inspect(self) -> Facts:
        """The facts given at construction."""
        return self._facts

    def slots(self) -> int:
        """See `Backend.slots`."""
        return self._slots

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
            for place in reversed(range(len(self._idle))):
                lease = self._idle[place]
                answer = self._answer(feed.next, lease)
                # Where leases share a device, what one may not begin another may.
                if isinstance(answer, Job) or lease.share is None:
                    break
            if not isinstance(answer, Job):
                return answer
            del self._idle[place]
            self._begin(lease, answer)
        return None

    def _answer(self, ask: Callable[..., Answer], *about: object) -> Answer:
        """What the feed answers, when it has worked for it."""
        began_s = self._driver_clock()
        answer = ask(*about)
        self.now_s += self._driver_clock() - began_s
        return answer

    def _begin(self, lease: Lease, job: Job) -> None:
        self._open[lease.slot] = len(job.trials)
        self.waited_s += self.now_s - self._left_s.get(lease.slot, 0.0)
        self._began_s[lease.slot] = self._left_s[lease.slot] = self.now_s
        for spec in job.trials:
            self._schedule(self.now_s, lease, spec, iter(self._script.reports(spec)), [])

    def _schedule(
        self,
        from_s: float,
        lease: Lease,
        spec: TrialSpec,
        rest: Iterator[tuple[float, Report]],
        past: list[Report],
    ) -> None:
        duration_s, report = next(rest, (0.0, None))
        self._order += 1
        event = _Event(from_s + duration_s, self._order, lease, spec, report, rest, past)
        heapq.heappush(self._events, event)

    def _advance(self, feed: Feed) -> None:
        event = heapq.heappop(self._events)
        self.now_s = max(self.now_s, event.time_s)
        wanted = self._answer(feed.cancellations)
        decision = wanted.get(event.spec.key, Decision.CONTINUE)
        if decision is Decision.CONTINUE and event.report is not None:
            event.past.append(event.report)
            decision = self._answer(feed.report, event.spec.key, event.report)
            if decision is Decision.CONTINUE:
                self._schedule(event.time_s, event.lease, event.spec, event.rest, event.past)
                return
        ending = self._script.ending(event.spec, event.past)
        left_s = event.time_s
        if decision is not Decision.CONTINUE:
            ending = Ending(decision.outcome, ending.value, ending.best_step)
            # It goes on until it hears of it.
            left_s = self.now_s
            self.late_s += left_s - event.time_s
        self._end(feed, event, ending, left_s)

    def _end(self, feed: Feed, event: _Event, ending: Ending, left_s: float) -> None:
        self._answer(feed.end, event.spec.key, ending)
        slot = event.lease.slot
        self._left_s[slot] = max(self._left_s[slot], left_s)
        self._open[slot] -= 1
        if self._open[slot] == 0:
            self._idle.append(event.lease)
            self.busy_s += self._left_s[slot] - self._began_s[slot]
