"""Whether a trial stops at a rung, decided from what the study has seen there before.

The rules are those of Optuna's SuccessiveHalvingPruner, HyperbandPruner and MedianPruner. Theirs
look through every trial of the study at every rung; here the values of each rung are kept sorted,
so that a decision among 10,000 trials costs what it costs among 100. All of it is a function of
the study's trials, and so the same after a restart.
"""

import binascii
import math
from bisect import insort
from collections import defaultdict
from collections.abc import Mapping
from typing import Protocol

from runner.study.rungs import REDUCTION, Rungs
from runner.study.trial_record import TrialRecord
from runner.trial import Outcome

# The median of fewer complete trials is not listened to (Optuna's default).
MEDIAN_STARTUP = 5


class Pruning(Protocol):
    """Decides at rungs. Values are told so that larger is better."""

    def learn(self, number: int, scores: Mapping[int, float], failed_at: int | None) -> None:
        """Take over what a trial has shown at its rungs.

        Args:
            number: The trial.
            scores: Its value after each epoch at which it came to a rung.
            failed_at: The rung at which it was stopped; None if it was not.
        """
        ...

    def complete(self, scores: Mapping[int, float]) -> None:
        """A trial has run to its end."""
        ...

    def failed(
        self, number: int, scores: Mapping[int, float], *, epoch: int, after: int
    ) -> int | None:
        """The rung at which a running trial is to stop, if it is; what it shows counts from now.

        Args:
            number: The trial.
            scores: Its value after each epoch at which it came to a rung, `epoch` included.
            epoch: The epoch that it has reported just now.
            after: The epoch that it had reported before.
        """
        ...


class Never:
    """Every trial runs to its end."""

    def learn(self, number: int, scores: Mapping[int, float], failed_at: int | None) -> None:
        """See `Pruning.learn`."""

    def complete(self, scores: Mapping[int, float]) -> None:
        """See `Pruning.complete`."""

    def failed(
        self, number: int, scores: Mapping[int, float], *, epoch: int, after: int
    ) -> int | None:
        """See `Pruning.failed`."""
        return None


class Halving:
    """At each rung the best third goes on (asynchronous successive halving).

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning"; with several
    brackets, Li et al. 2018, "Hyperband".

    Args:
        rungs: Of the study.
        name: The study's; with it a trial's number decides its bracket, as in Optuna.
        brackets: How many. In bracket b the first b rungs stop nobody.
    """

    def __init__(self, rungs: Rungs, *, name: str, brackets: int = 1) -> None:
        self._rungs = rungs
        self._name = name
        self._shares = [_share(bracket, brackets) for bracket in range(brackets)]
        # Of each bracket and rung the scores seen there, ascending.
        self._seen: dict[tuple[int, int], list[float]] = defaultdict(list)

    def learn(self, number: int, scores: Mapping[int, float], failed_at: int | None) -> None:
        """See `Pruning.learn`."""
        before = 0
        for epoch in sorted(scores):
            for rung in self._open_to(number, epoch, before):
                self._see(number, rung, scores[epoch])
                if rung == failed_at:
                    break
            before = epoch

    def complete(self, scores: Mapping[int, float]) -> None:
        """See `Pruning.complete`."""

    def failed(
        self, number: int, scores: Mapping[int, float], *, epoch: int, after: int
    ) -> int | None:
        """See `Pruning.failed`."""
        score = scores[epoch]
        for rung in self._open_to(number, epoch, after):
            if math.isnan(score) or not self._is_promoted(self._see(number, rung, score), score):
                return rung
        return None

    def _open_to(self, number: int, epoch: int, before: int) -> list[int]:
        first = self._rungs.first * REDUCTION ** self._bracket(number)
        return [rung for rung in self._rungs.passed(epoch, after=before) if rung >= first]

    def _see(self, number: int, rung: int, score: float) -> list[float]:
        seen = self._seen[self._bracket(number), rung]
        if not math.isnan(score):
            insort(seen, score)
        return seen

    def _is_promoted(self, seen: list[float], score: float) -> bool:
        # Of the first two the better one goes on: they do not wait for a third.
        place = max(len(seen) // REDUCTION, 1)
        return score >= seen[-place]

    def _bracket(self, number: int) -> int:
        if len(self._shares) == 1:
            return 0
        left: int = binascii.crc32(f"{self._name}_{number}".encode()) % sum(self._shares)
        for bracket, share in enumerate(self._shares):
            left -= share
            if left < 0:
                return bracket
        raise AssertionError("the shares add up to what the remainder is taken of")


class Median:
    """A trial stops whose best so far is below the median of the complete ones at that epoch."""

    def __init__(self, rungs: Rungs) -> None:
        self._rungs = rungs
        self._complete = 0
        # Of each epoch the scores of complete trials, ascending.
        self._seen: dict[int, list[float]] = defaultdict(list)

    def learn(self, number: int, scores: Mapping[int, float], failed_at: int | None) -> None:
        """See `Pruning.learn`."""

    def complete(self, scores: Mapping[int, float]) -> None:
        """See `Pruning.complete`."""
        self._complete += 1
        for epoch, score in scores.items():
            if not math.isnan(score):
                insort(self._seen[epoch], score)

    def failed(
        self, number: int, scores: Mapping[int, float], *, epoch: int, after: int
    ) -> int | None:
        """See `Pruning.failed`."""
        if self._complete < MEDIAN_STARTUP:
            return None
        so_far = [score for score in scores.values() if not math.isnan(score)]
        if not so_far:
            return epoch
        seen = self._seen[epoch]
        if not seen:
            return None
        middle = (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2]) / 2
        return epoch if max(so_far) < middle else None


class Judge:
    """Keeps a study's pruning and speaks to it in the study's own terms.

    Args:
        pruning: The rule.
        rungs: Of the study.
        is_maximized: Whether a larger value is better.
    """

    def __init__(self, pruning: Pruning, rungs: Rungs, *, is_maximized: bool) -> None:
        self._pruning = pruning
        self._rungs = rungs
        self._sign = 1.0 if is_maximized else -1.0

    def learn(self, trial: TrialRecord) -> None:
        """Take over a trial of the study, ended or not."""
        self._pruning.learn(trial.number, self._scores(trial.rungs), trial.failed_at)
        self.tell(trial)

    def tell(self, trial: TrialRecord) -> None:
        """A trial has ended."""
        if trial.outcome is Outcome.COMPLETE:
            self._pruning.complete(self._scores(trial.rungs))

    def is_rung(self, epoch: int, *, after: int) -> bool:
        """Whether a trial has come to a rung with this report; see `Rungs.passed`."""
        return bool(self._rungs.passed(epoch, after=after))

    def failed(
        self, number: int, values: Mapping[int, float], *, epoch: int, after: int
    ) -> int | None:
        """The rung at which a running trial is to stop, if it is; see `Pruning.failed`."""
        return self._pruning.failed(number, self._scores(values), epoch=epoch, after=after)

    def _scores(self, values: Mapping[int, float]) -> dict[int, float]:
        return {epoch: self._sign * value for epoch, value in values.items()}


def make_judge(rungs: Rungs, *, name: str, max_epochs: int | None, is_maximized: bool) -> Judge:
    """What decides at the rungs of a study.

    Args:
        rungs: Of the study; they name the pruner.
        name: The study's.
        max_epochs: Most epochs that a trial trains, or None where nobody knows.
        is_maximized: Whether a larger value is better.
    """
    pruning: Pruning = Never()
    if rungs.pruner == "median":
        pruning = Median(rungs)
    elif rungs.pruner == "asha":
        pruning = Halving(rungs, name=name)
    elif rungs.pruner == "hyperband" and max_epochs is not None:
        pruning = Halving(rungs, name=name, brackets=brackets(rungs.first, max_epochs))
    return Judge(pruning, rungs, is_maximized=is_maximized)


def brackets(first: int, max_epochs: int) -> int:
    """How many brackets hyperband has: one more than the rungs after the first one fit."""
    count = 1
    while first * REDUCTION**count <= max_epochs:
        count += 1
    return count


def _share(bracket: int, brackets: int) -> int:
    """A bracket's share of the trials, as in Optuna's HyperbandPruner."""
    s = brackets - 1 - bracket
    weight: int = REDUCTION**s
    return math.ceil(brackets * weight / (s + 1))
