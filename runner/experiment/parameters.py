"""The kinds of parameter a search space is made of."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from runner.errors import nearest_spelling
from runner.experiment.conditions import Condition, bound, conditions_as_written, is_same
from runner.experiment.recipe import MAX
from runner.experiment.scalars import Scalar, printable

LARGEST_GRID_AXIS = 100_000
"""A parameter with more values than this has no grid."""


@dataclass(frozen=True)
class FloatParameter:
    """A number in [low, high], both ends included.

    Attributes:
        low: Lower end.
        high: Upper end.
        log: Whether orders of magnitude are equally likely.
        step: Distance between allowed values, counted from `low`; None: any value.
        when: Demands that must all hold for it to be in use.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: tuple[Condition, ...] = ()

    def flaw(self, value: Scalar) -> str | None:
        """Why a value is not one of this parameter's, or None if it is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a number, not {printable(value)}"
        if not self.low <= value <= self.high:
            return f"must lie between {self.low} and {self.high}, not {printable(value)}"
        if self.step is not None and not is_on_step(value, self.low, self.step):
            return f"must be {self.low} plus a multiple of {self.step}, not {printable(value)}"
        return None

    def values(self) -> tuple[Scalar, ...] | None:
        """Every value it can take, in order; None if they cannot be listed."""
        if self.step is None:
            return None
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        count = int((Decimal(str(self.high)) - low) / step) + 1
        if count > LARGEST_GRID_AXIS:
            return None
        return tuple(float(low + step * n) for n in range(count))

    def bind(self, max_freeze_depth: int) -> "FloatParameter":
        """The same parameter with `max` in its conditions replaced."""
        return replace(self, when=_bind_all(self.when, max_freeze_depth))

    def as_written(self) -> object:
        """The parameter in the grammar of the experiment file."""
        written: dict[str, object] = {"float": [self.low, self.high]}
        return _with_options(written, self.log, self.step, self.when)


@dataclass(frozen=True)
class IntParameter:
    """A whole number in [low, high], both ends included; `high` may be MAX.

    Attributes: as for FloatParameter.
    """

    low: int
    high: int | Literal["max"]
    log: bool = False
    step: int = 1
    when: tuple[Condition, ...] = ()

    def flaw(self, value: Scalar) -> str | None:
        """Why a value is not one of this parameter's, or None if it is."""
        if value == MAX and self.high == MAX:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            return f"must be a whole number, not {printable(value)}"
        if value < self.low or (self.high != MAX and value > self.high):
            return f"must lie between {self.low} and {self.high}, not {value}"
        if (value - self.low) % self.step:
            return f"must be {self.low} plus a multiple of {self.step}, not {value}"
        return None

    def values(self) -> tuple[Scalar, ...] | None:
        """Every value it can take, in order; None if they cannot be listed."""
        if self.high == MAX or (self.high - self.low) // self.step >= LARGEST_GRID_AXIS:
            return None
        return tuple(range(self.low, self.high + 1, self.step))

    def bind(self, max_freeze_depth: int) -> "IntParameter":
        """The same parameter with `max` replaced, also in its conditions.

        Raises:
            ValueError: If that leaves no value between `low` and `max`.
        """
        when = _bind_all(self.when, max_freeze_depth)
        if self.high != MAX:
            return replace(self, when=when)
        if max_freeze_depth < self.low:
            raise ValueError(
                f"starts at {self.low}, but the model has only {max_freeze_depth} layer groups"
            )
        reach = (max_freeze_depth - self.low) // self.step * self.step
        return replace(self, high=self.low + reach, when=when)

    def as_written(self) -> object:
        """The parameter in the grammar of the experiment file."""
        written: dict[str, object] = {"int": [self.low, self.high]}
        return _with_options(written, self.log, self.step if self.step != 1 else None, self.when)


@dataclass(frozen=True)
class ChoiceParameter:
    """One of some values that have no order.

    Attributes:
        choices: The values; at least one, no two the same.
        when: Demands that must all hold for it to be in use.
    """

    choices: tuple[Scalar, ...]
    when: tuple[Condition, ...] = ()

    def flaw(self, value: Scalar) -> str | None:
        """Why a value is not one of this parameter's, or None if it is."""
        if any(is_same(value, choice) for choice in self.choices):
            return None
        allowed = ", ".join(printable(choice) for choice in self.choices)
        words = [choice for choice in self.choices if isinstance(choice, str)]
        near = nearest_spelling(value, words) if isinstance(value, str) else None
        hint = f"; did you mean {near!r}?" if near else ""
        return f"must be one of {allowed}, not {printable(value)}{hint}"

    def values(self) -> tuple[Scalar, ...] | None:
        """Every value it can take, in order."""
        return self.choices

    def bind(self, max_freeze_depth: int) -> "ChoiceParameter":
        """The same parameter with `max` replaced, also in its conditions."""
        choices: list[Scalar] = []
        for choice in self.choices:
            number = bound(choice, max_freeze_depth)
            if not any(is_same(number, other) for other in choices):
                choices.append(number)
        return ChoiceParameter(tuple(choices), _bind_all(self.when, max_freeze_depth))

    def as_written(self) -> object:
        """The parameter in the grammar of the experiment file."""
        return _with_options({"choice": list(self.choices)}, False, None, self.when)


@dataclass(frozen=True)
class FixedParameter:
    """A parameter with one value, the same in every trial that uses it.

    Attributes:
        value: The value.
        when: Demands that must all hold for it to be in use.
    """

    value: Scalar
    when: tuple[Condition, ...] = ()

    def flaw(self, value: Scalar) -> str | None:
        """Why a value is not this parameter's, or None if it is."""
        if is_same(value, self.value):
            return None
        return f"is fixed at {printable(self.value)} in the space, not {printable(value)}"

    def values(self) -> tuple[Scalar, ...] | None:
        """Every value it can take: the one."""
        return (self.value,)

    def bind(self, max_freeze_depth: int) -> "FixedParameter":
        """The same parameter with `max` replaced, also in its conditions."""
        when = _bind_all(self.when, max_freeze_depth)
        return FixedParameter(bound(self.value, max_freeze_depth), when)

    def as_written(self) -> object:
        """The parameter in the grammar of the experiment file."""
        if not self.when:
            return self.value
        return _with_options({"fixed": self.value}, False, None, self.when)


Parameter = FloatParameter | IntParameter | ChoiceParameter | FixedParameter


def is_on_step(value: float, low: float, step: float) -> bool:
    """Whether a number is `low` plus a whole multiple of `step`, to decimal precision."""
    steps = (Decimal(str(value)) - Decimal(str(low))) / Decimal(str(step))
    return abs(steps - round(steps)) < Decimal("1e-6")


def _bind_all(when: tuple[Condition, ...], max_freeze_depth: int) -> tuple[Condition, ...]:
    return tuple(condition.bind(max_freeze_depth) for condition in when)


def _with_options(
    written: dict[str, object], log: bool, step: float | None, when: tuple[Condition, ...]
) -> dict[str, object]:
    if log:
        written["log"] = True
    if step is not None:
        written["step"] = step
    if when:
        written["when"] = conditions_as_written(when)
    return written
