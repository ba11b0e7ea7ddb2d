"""The one place where any exception of a trial is caught, kept and turned into its ending."""

import logging
import sys
import traceback
from dataclasses import replace

from runner.errors import DataError, DiskRefused, TrialLost, TrialOutOfMemory
from runner.trial.job import (
    Attempt,
    Channel,
    Decision,
    Ending,
    Job,
    Lease,
    Objective,
    Outcome,
    Report,
)

logger = logging.getLogger(__name__)


class _Remembering:
    """A channel that knows which attempts have been ended."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.ended: set[Attempt] = set()

    def report(self, key: Attempt, report: Report) -> Decision:
        return self._channel.report(key, report)

    def decision(self, key: Attempt) -> Decision:
        return self._channel.decision(key)

    def end(self, key: Attempt, ending: Ending) -> None:
        self.ended.add(key)
        self._channel.end(key, ending)


def run_job(objective: Objective, job: Job, lease: Lease, channel: Channel) -> None:
    """Run a job so that each of its trials is ended exactly once, whatever is raised.

    Where several trials were one computation, what is raised is nobody's own: those that had not
    ended are lost, and the study runs each of them again by itself. Of a packed job that is out of
    memory they are all out of memory: the study runs them again together.

    Side effects: the traceback of a failure goes to the log of the process; on a device that is
    shared, the job's memory is given back.
    """
    remembering = _Remembering(channel)
    try:
        objective.run(job, lease, remembering)
        ending = Ending(Outcome.FAILED, reason="the objective returned without ending the trial")
    except Exception as error:
        logger.error("the trial failed", exc_info=True)
        ending = ending_of(error)
    is_crowded = job.is_packed and ending.outcome is Outcome.OUT_OF_MEMORY
    if len(job.trials) > 1 and not is_crowded:
        reason = f"a job of {len(job.trials)} trials failed: {ending.reason}"
        ending = replace(ending, outcome=Outcome.LOST, reason=reason)
    for spec in job.trials:
        if spec.key not in remembering.ended:
            channel.end(spec.key, ending)
    if lease.share is not None and "torch" in sys.modules:
        from runner.trial.memory import release_memory

        release_memory()


def ending_of(error: Exception) -> Ending:
    """The ending of a trial that raised."""
    text = str(error) or type(error).__name__
    is_plain = isinstance(error, DataError | DiskRefused | TrialOutOfMemory | TrialLost)
    prefix = "" if is_plain else f"{type(error).__name__}: "
    return Ending(
        _outcome_of(error),
        reason=f"{prefix}{text.splitlines()[0]}",
        traceback="".join(traceback.format_exception(error)),
    )


def _outcome_of(error: Exception) -> Outcome:
    if isinstance(error, TrialOutOfMemory):
        return Outcome.OUT_OF_MEMORY
    return Outcome.LOST if isinstance(error, TrialLost) else Outcome.FAILED
