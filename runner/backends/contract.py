"""The contract between a study and the place where its jobs run.

A backend pulls: it asks the feed for a job whenever one of its slots is free, passes reports
on, and closes every attempt exactly once. It does not know Optuna; the study does not know
processes.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from runner.trial import Attempt, Decision, Ending, Facts, Job, Lease, Report


class NoJob(Enum):
    """Why there is no job for a free slot."""

    WAIT = "wait"
    DONE = "done"


class Feed(Protocol):
    """The study's side: gives jobs, hears reports, closes trials."""

    def next(self, lease: Lease) -> Job | NoJob:
        """A job for a free lease; WAIT to ask again later, DONE when there will be none.

        Asking says that whatever ran on the lease before has given its memory back. A job that
        is not packed has its lease's device to itself: the backend ends the processes of other
        leases there, which are free.
        """
        ...

    def report(self, key: Attempt, report: Report) -> Decision:
        """Take one epoch's metrics of a running attempt and decide how it goes on."""
        ...

    def end(self, key: Attempt, ending: Ending) -> None:
        """Close an attempt; called exactly once for each that was given out."""
        ...

    def cancellations(self) -> Mapping[Attempt, Decision]:
        """Running attempts that should leave now, between two batches; asked a few times a
        second, and repeated until they have ended."""
        ...


class Backend(Protocol):
    """A place where jobs run."""

    def inspect(self) -> Facts:
        """Run the objective's second pass where its jobs will run."""
        ...

    def slots(self) -> int:
        """Devices, or slots of a CPU, that run jobs just now; a cluster grows and shrinks."""
        ...

    def run(self, feed: Feed) -> None:
        """Run jobs until the feed is done and every attempt is closed."""
        ...

    def close(self) -> None:
        """Release processes and leases; safe to call twice."""
        ...
