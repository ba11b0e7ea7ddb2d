"""Runs jobs in this very process, one after another: for debugging, and for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from runner.backends.contract import Feed, NoJob
from runner.errors import SearchStopped
from runner.trial import Attempt, Decision, Ending, Facts, Job, Lease, Objective, Report, run_job


class _FeedChannel:
    """A channel straight to the feed.

    Attributes:
        failure: What the feed raised, if it did; it is not the trial's, and is asked no more.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.failure: Exception | None = None

    def report(self, key: Attempt, report: Report) -> Decision:
        with self._asking():
            return self._feed.report(key, report)

    def decision(self, key: Attempt) -> Decision:
        with self._asking():
            return self._feed.cancellations().get(key, Decision.CONTINUE)

    def end(self, key: Attempt, ending: Ending) -> None:
        with self._asking():
            self._feed.end(key, ending)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if self.failure is not None:
            raise self.failure
        try:
            yield
        except Exception as error:
            self.failure = error
            raise


class InlineBackend:
    """The debugger's backend: a breakpoint in the objective is one in this process."""

    def __init__(self, objective: Objective, lease: Lease | None = None) -> None:
        self._objective = objective
        self._lease = lease or Lease(slot=0)

    def inspect(self) -> Facts:
        """See `Backend.inspect`."""
        return self._objective.inspect(self._lease)

    def slots(self) -> int:
        """See `Backend.slots`."""
        return 1

    def run(self, feed: Feed) -> None:
        """See `Backend.run`.

        Raises:
            RuntimeError: If the feed says WAIT with nothing running: nobody could end the wait.
            SearchStopped: If this process cannot compute any more.
        """
        while (job := feed.next(self._lease)) is not NoJob.DONE:
            if not isinstance(job, Job):
                raise RuntimeError("the feed waits although no job is running")
            channel = _FeedChannel(feed)
            is_fit = run_job(self._objective, job, self._lease, channel)
            if channel.failure is not None:
                # `run_job` took it for the trial's.
                raise channel.failure
            if not is_fit:
                raise SearchStopped(
                    f"{', '.join(self._lease.devices)} fails every call of this process since the "
                    "last trial; the same command goes on in another process"
                )

    def close(self) -> None:
        """Nothing to release."""
