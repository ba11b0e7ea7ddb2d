"""After which epochs a trial may be stopped early."""

import math
from dataclasses import dataclass

# One of three goes on at each rung: the usual value (Li et al. 2020, "A System for Massively
# Parallel Hyperparameter Tuning").
REDUCTION = 3
# After one epoch what starts slowly and ends best is still behind: a rung there costs the search
# most of what it could find, one after two epochs next to nothing (docs/benchmarks.md).
EARLIEST = 2
# How many rungs are named where nobody knows how long a trial will be.
NAMED = 4


@dataclass(frozen=True)
class Rungs:
    """The rungs of a study, in epochs counted from 1.

    Attributes:
        pruner: asha, hyperband, median or none.
        first: The first rung; asha and hyperband have the others at three times the one before,
            median after every epoch.
    """

    pruner: str
    first: int = 1

    def passed(self, epoch: int, *, after: int | None = None) -> list[int]:
        """The rungs that a trial has come to with a report.

        Args:
            epoch: The epoch that was reported.
            after: The one reported before it. An objective of one's own may report every 100
                steps, and pass several rungs at once. None: the epoch before this one.
        """
        before = epoch - 1 if after is None else after
        if self.pruner == "none" or epoch < self.first:
            return []
        if self.pruner == "median":
            return [epoch]
        passed, rung = [], self.first
        while rung <= epoch:
            if rung > before:
                passed.append(rung)
            rung *= REDUCTION
        return passed

    def of_a_trial(self, epochs: int | None) -> list[int]:
        """The rungs of a trial of that length, but for its end; of unknown length: the first."""
        if epochs is None:
            known = self.pruner in ("asha", "hyperband")
            return [self.first * REDUCTION**power for power in range(NAMED)] if known else []
        return [epoch for epoch in range(1, epochs) if self.passed(epoch)]


def rungs_of(
    pruner: str, *, grace: int | None, train_examples: int | None, longest: int | None
) -> Rungs:
    """The rungs of a study.

    Args:
        pruner: Its name.
        grace: Training examples that a trial has seen at its first rung, or more; None: those of
            a ninth of the longest trial, and of two epochs at the least.
        train_examples: How many examples one epoch trains on; None if nobody knows.
        longest: Most epochs that a trial trains. Where nobody knows, and without a grace, a trial
            may be stopped at its first report.
    """
    if grace is not None and train_examples:
        return Rungs(pruner, math.ceil(grace / train_examples))
    if longest is None:
        return Rungs(pruner)
    return Rungs(pruner, max(EARLIEST, math.ceil(longest / REDUCTION**2)))
