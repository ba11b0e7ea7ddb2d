"""Every error the runner raises on purpose.

    RunnerError                     anything below; the command line prints it without a traceback
    |-- ExperimentError             the experiment file is wrong: many problems at once
    |-- DataError                   the data cannot be used as they are
    |   `-- data.DataSettingError   a key of the `data` section does not fit the data it names
    |-- WeightsUnavailable          pretrained weights cannot be had here
    |-- StudyError                  the search must not start, or must stop
    |   |-- StudyChanged            the experiment is no longer the one the study was begun with
    |   |-- StudyLocked             another driver owns this study
    |   |-- SearchStopped           the search cannot go on, whatever trial comes next
    |   `-- StorageUnreachable      the database that has the studies cannot be reached
    |-- TrialFailed                 this trial failed; it is recorded and the search goes on
    |   |-- TrialOutOfMemory        not even one example at a time fits
    |   |-- LossNotFinite           the training loss is no longer a number
    |   |-- UserCodeFailed          what the user's own objective raised, which is its cause
    |   `-- TrialLost               a process that trained it has died; it is run again
    |-- reuse.TooLarge              features do not fit into their budget; trials do without
    |-- NoSuchDevice                a device was asked for that this machine does not have
    |-- NotFound                    no such study, trial, run or model
    |-- TrackingUnreachable         the MLflow store or server cannot be reached
    |-- PromotionRefused            the gate kept the current champion
    `-- DiskRefused                 the disk refused a write: full, read-only, no permission

Each has the exit code the command line ends with; docs/commands.md lists them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar


class RunnerError(Exception):
    """Anything the runner refuses or fails to do, in words a user can act on."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong in an experiment file.

    Attributes:
        file: The file as the user named it, or the command-line option that set the value.
        line: Line in that file, counted from 1; None where there is none.
        key: Dotted key, for example `train.learning_rate`.
        rule: What is wrong, and what is allowed, in one sentence.
        seen: The value seen, already printable; None where there is none (a missing key).
        nearest: The allowed spelling closest to what was seen, if one is close.
    """

    file: str
    line: int | None
    key: str
    rule: str
    seen: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [f"{where}: {self.key}: " if self.key else f"{where}: ", self.rule]
        if self.seen is not None:
            parts.append(f" (seen: {self.seen})")
        if self.nearest is not None:
            parts.append(f"; did you mean {self.nearest!r}?")
        return "".join(parts)


def nearest_spelling(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word closest to a misspelt one, or None if none is close."""
    close = get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return close[0] if close else None


class ExperimentError(RunnerError):
    """The experiment file is wrong; carries every problem found in one pass."""

    exit_code = 3

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type["ExperimentError"], tuple[tuple[Problem, ...]]]:
        # Exceptions pickle as their message alone, and this one also travels from workers.
        return type(self), (self.problems,)


class DataError(RunnerError):
    """The data cannot be used as they are; the message names the files."""

    exit_code = 4


class WeightsUnavailable(RunnerError):
    """Pretrained weights cannot be had here; the message says what to do instead."""

    exit_code = 4


class StudyError(RunnerError):
    """The search must not start, or must stop."""

    exit_code = 5


class StudyChanged(StudyError):
    """The experiment is no longer the one this study was begun with."""


class StudyLocked(StudyError):
    """Another driver owns this study."""


class SearchStopped(StudyError):
    """The search cannot go on, whatever trial comes next."""


class StorageUnreachable(StudyError):
    """The database that has the studies cannot be reached, or refuses."""

    exit_code = 9


class TrialFailed(RunnerError):
    """This trial failed; it is recorded and the search goes on."""

    exit_code = 6


class TrialOutOfMemory(TrialFailed):
    """Not even one example at a time fits into the lease's memory."""


class LossNotFinite(TrialFailed):
    """The training loss is no longer a number; every device of a trial finds so at once."""


class UserCodeFailed(TrialFailed):
    """The user's own objective raised; what it raised is the cause."""


class TrialLost(TrialFailed):
    """A process that trained this trial has died; the trial is run again."""


class NoSuchDevice(RunnerError):
    """A device was asked for that this machine does not have."""

    exit_code = 7


class NotFound(RunnerError):
    """No such study, trial, run or model."""

    exit_code = 8


class TrackingUnreachable(RunnerError):
    """The MLflow store or server cannot be reached."""

    exit_code = 9


class PromotionRefused(RunnerError):
    """The gate kept the current champion; the message says why."""

    exit_code = 10


class DiskRefused(RunnerError):
    """The disk refused a write, or a lock: it is full, read-only, or the permission is missing."""

    exit_code = 11


def first_refusal(error: BaseException) -> DiskRefused | None:
    """The disk's first refusal among an error and what it came of; None if there is none.

    A disk that fills up fails more than one thing, and only the first says why.
    """
    found: DiskRefused | None = None
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, DiskRefused):
            found = each
        each = each.__cause__ if each.__suppress_context__ else each.__context__
    return found
