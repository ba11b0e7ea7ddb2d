"""What a search stands on once its second pass is done."""

from dataclasses import dataclass

from runner.experiment import Experiment, Space
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
        slots: Devices, or slots of a CPU, on which jobs run at once.
    """

    experiment: Experiment
    space: Space
    facts: Facts
    objective: Objective
    slots: int = 1

    @property
    def rungs(self) -> Rungs:
        """After which epochs a trial may be stopped."""
        asked = self.experiment.search
        return rungs_of(asked.pruner, grace=asked.grace, train_examples=self.facts.train_examples)
