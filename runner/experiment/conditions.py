"""When a parameter of the search space is in use: `when: {optimizer: sgd}` and its kin."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from runner.experiment.recipe import MAX
from runner.experiment.scalars import Scalar, printable


class Comparison(Enum):
    """How a condition compares its parent's value."""

    IN = "in"
    NOT = "not"
    BELOW = "below"
    ABOVE = "above"


@dataclass(frozen=True)
class Condition:
    """One demand on another parameter.

    Attributes:
        parameter: The parameter, or key of `train`, whose value decides.
        comparison: How it is compared.
        values: With what; one value for BELOW and ABOVE.
    """

    parameter: str
    comparison: Comparison
    values: tuple[Scalar, ...]

    def holds(self, value: Scalar) -> bool:
        """Whether the parent's value fulfils the demand."""
        match self.comparison:
            case Comparison.IN:
                return any(is_same(value, wanted) for wanted in self.values)
            case Comparison.NOT:
                return not any(is_same(value, unwanted) for unwanted in self.values)
            case Comparison.BELOW:
                return _size(value) < _size(self.values[0])
            case Comparison.ABOVE:
                return _size(value) > _size(self.values[0])

    def bind(self, max_freeze_depth: int) -> "Condition":
        """The same demand with `max` replaced by a number."""
        return replace(self, values=tuple(bound(v, max_freeze_depth) for v in self.values))

    def __str__(self) -> str:
        values = " or ".join(printable(value) for value in self.values)
        words = {"in": "is", "not": "is not", "below": "is below", "above": "is above"}
        return f"{self.parameter} {words[self.comparison.value]} {values}"


def is_same(left: Scalar, right: Scalar) -> bool:
    """Whether two values are equal; true is not 1, but 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def bound(value: Scalar, max_freeze_depth: int) -> Scalar:
    """The value, or the number that `max` stands for."""
    return max_freeze_depth if value == MAX else value


def _size(value: Scalar) -> float:
    """A value's place in the order; NaN, which is neither below nor above, if it has none."""
    if value == MAX:
        return math.inf
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan  # type: ignore[arg-type]


def conditions_as_written(conditions: tuple[Condition, ...]) -> dict[str, object]:
    """Conditions in the grammar of the experiment file."""
    written: dict[str, object] = {}
    for condition in conditions:
        values: object = list(condition.values)
        if len(condition.values) == 1:
            values = condition.values[0]
        if condition.comparison is Comparison.IN:
            written[condition.parameter] = values
        else:
            operators = written.setdefault(condition.parameter, {})
            assert isinstance(operators, dict)  # the grammar forbids mixing the two forms
            operators[condition.comparison.value] = values
    return written


def all_hold(conditions: tuple[Condition, ...], values: Mapping[str, Scalar]) -> bool:
    """Whether every condition holds; a parent without a value is not in use, so fails it."""
    return all(
        condition.parameter in values and condition.holds(values[condition.parameter])
        for condition in conditions
    )
