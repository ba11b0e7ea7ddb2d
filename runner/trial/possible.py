"""What the trials of an experiment may be set to."""

from typing import Any

from runner.experiment import ChoiceParameter, Experiment, FixedParameter


def possible_values(experiment: Experiment, key: str) -> list[Any]:
    """Every value of a key of the recipe that some trial may have; of ranges, their ends."""
    parameter = experiment.space.parameters.get(key)
    if isinstance(parameter, ChoiceParameter):
        return list(parameter.choices)
    if isinstance(parameter, FixedParameter):
        return [parameter.value]
    if parameter is not None:
        return [parameter.low, parameter.high]
    return [getattr(experiment.train, key)]
