"""What a search stands on once its second pass is done."""

from collections.abc import Callable
from dataclasses import dataclass

from runner.experiment import (
    ChoiceParameter,
    Experiment,
    FixedParameter,
    IntParameter,
    Space,
)
from runner.study.rungs import Rungs, rungs_of
from runner.trial import Facts, Objective


@dataclass(frozen=True)
class Ground:
    """All that is known of a search before its first trial.

    Attributes:
        experiment: What was asked.
        space: Bound to its model.
        facts: What the second pass found out.
        objective: Knows what a trial will be like.
        slots: How many devices, or slots of a CPU, run jobs just now; see `Backend.slots`.
    """

    experiment: Experiment
    space: Space
    facts: Facts
    objective: Objective
    slots: Callable[[], int]

    @property
    def longest(self) -> int | None:
        """See `longest_trial`."""
        return longest_trial(self.experiment, self.space)

    @property
    def rungs(self) -> Rungs:
        """After which epochs a trial may be stopped."""
        asked = self.experiment.search
        return rungs_of(
            # Of a population the weak are replaced.
            "none" if self.experiment.segments else asked.pruner,
            grace=asked.grace,
            train_examples=self.facts.train_examples,
            longest=self.longest,
        )


def longest_trial(experiment: Experiment, space: Space) -> int | None:
    """Most epochs any trial of the space trains; None where only the user's code knows."""
    if experiment.search.max_steps is not None:
        return experiment.search.max_steps
    match space.parameters.get("epochs"):
        case IntParameter(_, int() as high):
            return high
        case ChoiceParameter(choices):
            # An objective of one's own may call anything epochs, and not only numbers.
            return max((choice for choice in choices if isinstance(choice, int)), default=None)
        case FixedParameter(int() as value):
            return value
    return experiment.epochs({})
