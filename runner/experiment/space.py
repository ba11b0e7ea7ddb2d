"""The search space: which parameters vary, over what, and under which conditions."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runner.errors import nearest_spelling
from runner.experiment.conditions import all_hold, bound
from runner.experiment.parameters import FloatParameter, Parameter
from runner.experiment.recipe import Recipe
from runner.experiment.scalars import Scalar


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        parameters: By name, in the order of sampling: parents before what depends on them.
        outside: Values of the `train` keys that conditions name but the space does not vary.
        max_freeze_depth: What `max` stands for, once the space is bound to a model.
    """

    parameters: Mapping[str, Parameter]
    outside: Mapping[str, Scalar] = field(default_factory=dict)
    max_freeze_depth: int | None = None

    def bind(self, max_freeze_depth: int) -> "Space":
        """The same space with `max` replaced by a model's number of layer groups.

        Raises:
            ValueError: If a range is empty for this model; the message names the parameter.
        """
        parameters: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            try:
                parameters[name] = parameter.bind(max_freeze_depth)
            except ValueError as err:
                raise ValueError(f"{name} {err}") from err
        outside = {name: bound(value, max_freeze_depth) for name, value in self.outside.items()}
        return Space(parameters, outside, max_freeze_depth)

    def is_active(self, name: str, params: Mapping[str, Scalar]) -> bool:
        """Whether a parameter is in use beside those already chosen.

        Args:
            name: A parameter of the space.
            params: Values of the parameters before it; one not in use is left out.
        """
        return all_hold(self.parameters[name].when, {**self.outside, **params})

    def check_point(self, params: Mapping[str, Scalar]) -> list[str]:
        """What is wrong with a setting to try, a sentence each; empty if it can be tried.

        A setting may leave parameters out: those are sampled.
        """
        return [f"{name}: {flaw}" for name, flaw in self.point_flaws(params)]

    def point_flaws(self, params: Mapping[str, Scalar]) -> Iterator[tuple[str, str]]:
        """The parameters of a setting that are wrong, each with the reason."""
        params = self.as_point(params)
        for name, value in params.items():
            parameter = self.parameters.get(name)
            if parameter is None:
                yield name, self._unknown(name)
            elif flaw := parameter.flaw(value):
                yield name, flaw
            elif broken := self._broken(parameter, params):
                yield name, f"is only used when {broken}; leave it out"

    def as_point(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """A setting in the space's own types: `max` as a number if bound, floats as floats."""
        return {name: self._as_typed(name, value) for name, value in params.items()}

    def grid_size(self) -> int | None:
        """How many different settings the space holds; None if they cannot be counted."""
        if any(parameter.values() is None for parameter in self.parameters.values()):
            return None
        parents = {c.parameter for p in self.parameters.values() for c in p.when}
        free = [n for n, p in self.parameters.items() if not p.when and n not in parents]
        tied = [name for name in self.parameters if name not in free]
        size = math.prod(len(self.parameters[name].values() or ()) for name in free)
        return size * sum(1 for _ in self._settings(tied, {}))

    def grid(self) -> Iterator[dict[str, Scalar]]:
        """Every setting of the space, the last parameter varying fastest.

        Raises:
            ValueError: If a parameter's values cannot be listed.
        """
        for name, parameter in self.parameters.items():
            if parameter.values() is None:
                raise ValueError(f"{name} has no grid: it needs a step, or a choice")
        return self._settings(list(self.parameters), {})

    def to_dict(self) -> dict[str, object]:
        """The space in the grammar of the experiment file, JSON-able."""
        return {name: parameter.as_written() for name, parameter in self.parameters.items()}

    def _settings(
        self, names: list[str], chosen: dict[str, Scalar]
    ) -> Iterator[dict[str, Scalar]]:
        if not names:
            yield chosen
        elif not self.is_active(names[0], chosen):
            yield from self._settings(names[1:], chosen)
        else:
            for value in self.parameters[names[0]].values() or ():
                yield from self._settings(names[1:], {**chosen, names[0]: value})

    def _as_typed(self, name: str, value: Scalar) -> Scalar:
        if name == "freeze_depth" and self.max_freeze_depth is not None:
            value = bound(value, self.max_freeze_depth)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if is_whole and isinstance(self.parameters.get(name), FloatParameter):
            return float(value)  # type: ignore[arg-type]
        return value

    def _unknown(self, name: str) -> str:
        if name in Recipe.model_fields:
            return "is not in the space; set it under `train`, or add it to the space"
        near = nearest_spelling(name, self.parameters)
        return "is not in the space" + (f"; did you mean {near!r}?" if near else "")

    def _broken(self, parameter: Parameter, params: Mapping[str, Scalar]) -> str | None:
        """The first condition that the given values break; what is left out breaks nothing."""
        values = {**self.outside, **params}
        for condition in parameter.when:
            known = condition.parameter in values
            if known and not condition.holds(values[condition.parameter]):
                return str(condition)
        return None
