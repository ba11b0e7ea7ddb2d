"""What an experiment lets its prepared examples take of the disk."""

from runner import data
from runner.experiment import Experiment


def allowance_of(experiment: Experiment) -> data.Allowance:
    """The allowance of decoded images and tokens."""
    asked = experiment.reuse.data_gib
    return data.Allowance(None if asked == "auto" else asked)
