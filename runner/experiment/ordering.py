"""The order in which parameters are sampled: parents before what depends on them."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from runner.experiment.marks import Flaw
from runner.experiment.parameters import Parameter


def in_sampling_order(
    parameters: Mapping[str, Parameter],
) -> tuple[dict[str, Parameter], list[Flaw]]:
    """The parameters in the order written, moved only where a parent must come first.

    Returns:
        The ordered parameters, and a flaw for a circle of conditions if there is one.
    """
    parents = {
        name: {c.parameter for c in parameter.when if c.parameter in parameters}
        for name, parameter in parameters.items()
    }
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as err:
        # graphlib lists each member before the one that depends on it.
        circle = list(reversed(err.args[1]))
        rule = f"its conditions go round in a circle: {' -> '.join(circle)}"
        return dict(parameters), [Flaw((circle[0], "when"), rule)]
    ordered: dict[str, Parameter] = {}
    while len(ordered) < len(parameters):
        ready = next(n for n in parameters if n not in ordered and parents[n] <= ordered.keys())
        ordered[ready] = parameters[ready]
    return ordered, []
