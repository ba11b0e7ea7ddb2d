"""The failure policy: which trials are run again, and when failures stop a search.

A trial that crashed (its code raised, or its worker died or hung) is run again under its number
as often as `search.retries` says, over all commands. What would come out the same is not: out of
memory, a loss that is no number, a time limit, and what is wrong with what all trials share.

As long as no trial of the study has ended well, a crash may be every trial's. So the trial is put
aside, whatever `search.retries` is, and another is tried: if that crashes in the same way, by the
same error at the same line, the search stops. Nothing is lost by it: both trials wait, and the
next command runs them again under their numbers. What fails there once more has failed, so that a
search gets on even where its failures are of its settings after all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from runner.study.trial_record import TrialRecord
from runner.trial import Ending, Fault, Outcome, Reach

_WELL = frozenset({Outcome.COMPLETE, Outcome.PRUNED})
_LEFT = frozenset({Outcome.PAUSED, Outcome.INTERRUPTED})
_RAISED = frozenset({Outcome.FAILED, Outcome.USER_ERROR})


class Then(Enum):
    """What becomes of a trial whose attempt has ended.

    OVER: it has ended for good. WAITS: the next command runs it again. AGAIN: it runs next.
    ASIDE: it is run again after another trial has been tried.
    """

    OVER = auto()
    WAITS = auto()
    AGAIN = auto()
    ASIDE = auto()


@dataclass(frozen=True)
class Verdict:
    """What follows from an ending.

    Attributes:
        then: What becomes of the trial.
        crashes: How many of its attempts have crashed by now.
        stop: Why the search stops, for people; empty if it goes on.
        headline: The same in a few words.
    """

    then: Then
    crashes: int
    stop: str = ""
    headline: str = ""


class FailurePolicy:
    """Judges the endings of one command's search.

    Args:
        retries: How often a trial that crashed is run again.
        max_failures: Trials in a row that end badly, and stop the search. Every command counts
            anew: whoever gives it again has seen why.
        trials: Those that the study has.
        log_of: Where the log of a trial lies.
    """

    def __init__(
        self,
        *,
        retries: int,
        max_failures: int,
        trials: Iterable[TrialRecord],
        log_of: Callable[[int], Path],
    ) -> None:
        self._retries = retries
        self._max_failures = max_failures
        self._log_of = log_of
        self._is_proven = any(trial.outcome in _WELL for trial in trials)
        self._in_a_row = 0
        self._seen: dict[Fault, int] = {}

    def judge(self, trial: TrialRecord, ending: Ending, *, is_crash: bool) -> Verdict:
        """What follows from the end of an attempt.

        Args:
            trial: As it was before.
            ending: As the study has judged it.
            is_crash: Of a lost one, whether it may be its own doing.
        """
        if ending.outcome in _WELL:
            self._is_proven, self._in_a_row = True, 0
            return Verdict(Then.OVER, trial.crashes)
        if ending.outcome in _LEFT:
            return Verdict(Then.WAITS, trial.crashes)
        if ending.outcome is Outcome.LOST:
            return self._lost(trial, ending, is_crash=is_crash)
        if ending.outcome in _RAISED and ending.fault is not None:
            return self._raised(trial, ending, ending.fault)
        return self._over(trial, ending, trial.crashes)

    def _lost(self, trial: TrialRecord, ending: Ending, *, is_crash: bool) -> Verdict:
        crashes = trial.crashes + is_crash
        if not is_crash or crashes <= self._retries:
            return Verdict(Then.AGAIN, crashes)
        return self._over(trial, ending, crashes)

    def _raised(self, trial: TrialRecord, ending: Ending, fault: Fault) -> Verdict:
        if fault.reach is Reach.MACHINE:
            said = self._sentence(trial.number, ending)
            stop = (
                f"the disk is full, or cannot be written: {said}. When room is made, the same "
                "command goes on, and runs the trial again"
            )
            return Verdict(Then.WAITS, trial.crashes, stop, "the disk is full")
        crashes = trial.crashes + 1
        if self._is_proven:
            is_again = fault.reach is Reach.TRIAL and crashes <= self._retries
            return Verdict(Then.AGAIN, crashes) if is_again else self._over(trial, ending, crashes)
        is_again = crashes <= max(1, self._retries)
        if stop := self._every_trials(trial.number, ending, fault):
            then = Then.WAITS if is_again else Then.OVER
            return Verdict(then, crashes, stop, "every trial would fail in this way")
        return Verdict(Then.ASIDE, crashes) if is_again else self._over(trial, ending, crashes)

    def _every_trials(self, number: int, ending: Ending, fault: Fault) -> str:
        """Why a crash seems to be every trial's; empty if it need not be."""
        other = self._seen.setdefault(fault, number)
        said = self._sentence(number, ending)
        if fault.reach is Reach.STUDY:
            return f"what every trial needs is not in order: {said}. {_goes_on(ending)}"
        if other == number:
            return ""
        at = f" (at {fault.place})" if fault.place else ""
        return (
            f"trials {other} and {number} failed in the same way{at}, and none has ended well: "
            f"{said}. {_goes_on(ending)}"
        )

    def _over(self, trial: TrialRecord, ending: Ending, crashes: int) -> Verdict:
        self._in_a_row += 1
        if self._in_a_row < self._max_failures:
            return Verdict(Then.OVER, crashes)
        stop = (
            f"{self._in_a_row} trials in a row failed, the last (trial {trial.number}) with: "
            f"{ending.reason}. Its log is {self._log_of(trial.number)}"
        )
        return Verdict(Then.OVER, crashes, stop, "too many failures in a row")

    def _sentence(self, number: int, ending: Ending) -> str:
        return f"{ending.reason} (trial {number}; its log is {self._log_of(number)})"


def _goes_on(ending: Ending) -> str:
    """What to do about it."""
    is_own = ending.outcome is Outcome.USER_ERROR
    new = "; where the objective itself was edited, add --new" if is_own else ""
    return f"When it is mended, the same command goes on, and runs again what failed{new}"
