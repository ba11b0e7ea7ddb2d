"""The one place where any exception of a trial is caught, kept and turned into its ending."""

import logging
import sys
import sysconfig
import traceback
from dataclasses import replace
from pathlib import Path

from runner.errors import (
    DataError,
    DiskRefused,
    ExperimentError,
    LossNotFinite,
    NoSuchDevice,
    RunnerError,
    TrialLost,
    TrialOutOfMemory,
    UserCodeFailed,
    WeightsUnavailable,
)
from runner.experiment import is_of_the_disk
from runner.trial.job import (
    Attempt,
    Channel,
    Decision,
    Ending,
    Fault,
    Job,
    Lease,
    Objective,
    Outcome,
    Reach,
    Report,
)

logger = logging.getLogger(__name__)

_SHARED_BY_ALL = (DataError, WeightsUnavailable, ExperimentError, NoSuchDevice)
# Where Python and what is installed lie; the project itself may lie there too.
_INSTALLED = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_OURS = str(Path(__file__).parents[1])


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


def run_job(objective: Objective, job: Job, lease: Lease, channel: Channel) -> bool:
    """Run a job so that each of its trials is ended exactly once, whatever is raised.

    Returns whether this process can run another: after some errors of CUDA every further call
    fails in the process that met them, and in no other.

    Where several trials were one computation, what is raised is nobody's own: those that had not
    ended are lost, and the study runs each of them again by itself. Of a packed job that is out of
    memory they are all out of memory: the study runs them again together.

    Side effects: the traceback of a failure goes to the log of the process; on a device that is
    shared, the job's memory is given back.
    """
    remembering = _Remembering(channel)
    is_fit = True
    try:
        objective.run(job, lease, remembering)
        ending = Ending(Outcome.FAILED, reason="the objective returned without ending the trial")
    except Exception as error:
        logger.error("the trial failed", exc_info=_of_the_user(error))
        ending = ending_of(error)
        is_fit = _answers(lease)
    is_crowded = job.is_packed and ending.outcome is Outcome.OUT_OF_MEMORY
    if len(job.trials) > 1 and not is_crowded:
        reason = f"a job of {len(job.trials)} trials failed: {ending.reason}"
        ending = replace(ending, outcome=Outcome.LOST, reason=reason)
    for spec in job.trials:
        if spec.key not in remembering.ended:
            channel.end(spec.key, ending)
    if is_fit and lease.share is not None and "torch" in sys.modules:
        from runner.trial.memory import release_memory

        release_memory()
    return is_fit


def _answers(lease: Lease) -> bool:
    """Whether the lease's GPUs, if this process has used any, still do what they are told."""
    torch = sys.modules.get("torch")
    names = [name for name in lease.devices if name.startswith("cuda")]
    if torch is None or not names or not torch.cuda.is_initialized():
        return True
    try:
        for name in names:
            torch.cuda.synchronize(name)
    except RuntimeError:
        logger.exception(
            "nothing can be computed on %s in this process any more", ", ".join(names)
        )
        return False
    return True


def fail_job(job: Job, error: Exception, channel: Channel) -> None:
    """End every trial of a job that could not begin.

    Side effects: the traceback goes to the log of the process.
    """
    logger.error("the job could not begin", exc_info=error)
    for spec in job.trials:
        channel.end(spec.key, ending_of(error))


def ending_of(error: Exception) -> Ending:
    """The ending of a trial that raised."""
    raised = _of_the_user(error)
    text = str(raised) or type(raised).__name__
    is_plain = isinstance(raised, DataError | DiskRefused | TrialOutOfMemory | TrialLost)
    prefix = "" if is_plain else f"{type(raised).__name__}: "
    return Ending(
        _outcome_of(error),
        reason=f"{prefix}{text.splitlines()[0]}",
        traceback="".join(traceback.format_exception(raised)),
        fault=_fault_of(raised),
    )


def _of_the_user(error: Exception) -> Exception:
    """What the user's own code raised, if it did; else the error itself."""
    cause = error.__cause__
    return cause if isinstance(error, UserCodeFailed) and isinstance(cause, Exception) else error


def _outcome_of(error: Exception) -> Outcome:
    match error:
        case TrialOutOfMemory():
            return Outcome.OUT_OF_MEMORY
        case TrialLost():
            return Outcome.LOST
        case LossNotFinite():
            return Outcome.DIVERGED
        case UserCodeFailed():
            return Outcome.USER_ERROR
    return Outcome.FAILED


def _fault_of(error: Exception) -> Fault:
    kind = type(error).__name__
    if isinstance(error, RunnerError):
        # One class stands for many errors there.
        kind = f"{kind}: {error}"
    return Fault(kind, _place_of(error), _reach_of(error))


def _reach_of(error: Exception) -> Reach:
    if isinstance(error, DiskRefused) or is_of_the_disk(error):
        return Reach.MACHINE
    return Reach.STUDY if isinstance(error, _SHARED_BY_ALL) else Reach.TRIAL


def _place_of(error: Exception) -> str:
    """File and line of the last call in the user's or the project's own code; else the last."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename)]
    if not frames:
        return ""
    frame = own[-1] if own else frames[-1]
    return f"{frame.filename}:{frame.lineno}"


def _is_own(file: str) -> bool:
    """Whether a file is neither Python's nor that of an installed package, but for this one."""
    return file.startswith(_OURS) or not file.startswith((*_INSTALLED, "<"))
