"""Runs jobs in this very process, one after another: for debugging, and for tests."""

from runner.backends.contract import Feed, NoJob
from runner.trial import Attempt, Decision, Ending, Facts, Job, Lease, Objective, Report, run_job


class _FeedChannel:
    """A channel straight to the feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def report(self, key: Attempt, report: Report) -> Decision:
        return self._feed.report(key, report)

    def decision(self, key: Attempt) -> Decision:
        return self._feed.cancellations().get(key, Decision.CONTINUE)

    def end(self, key: Attempt, ending: Ending) -> None:
        self._feed.end(key, ending)


class InlineBackend:
    """The debugger's backend: a breakpoint in the objective is one in this process."""

    def __init__(self, objective: Objective, lease: Lease | None = None) -> None:
        self._objective = objective
        self._lease = lease or Lease(slot=0)

    def inspect(self) -> Facts:
        """See `Backend.inspect`."""
        return self._objective.inspect(self._lease)

    def run(self, feed: Feed) -> None:
        """See `Backend.run`.

        Raises:
            RuntimeError: If the feed says WAIT with nothing running: nobody could end the wait.
        """
        while (job := feed.next(self._lease)) is not NoJob.DONE:
            if not isinstance(job, Job):
                raise RuntimeError("the feed waits although no job is running")
            run_job(self._objective, job, self._lease, _FeedChannel(feed))

    def close(self) -> None:
        """Nothing to release."""
