"""The grammar of search spaces: from what the file says to a Space, with every flaw in it.

learning_rate: {float: [1e-5, 1e-2], log: true}
batch_size: {choice: [16, 32, 64]}
epochs: {int: [2, 6], step: 2}
freeze_depth: {int: [0, max]}
weight_decay: 0.01
momentum: {float: [0.8, 0.99], when: {optimizer: sgd}}
layer_decay: {float: [0.6, 1.0], when: {freeze_depth: {below: max}}}
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from runner.errors import nearest_spelling
from runner.experiment.condition_grammar import read_conditions
from runner.experiment.conditions import Condition, is_same
from runner.experiment.keys import TaskKeys
from runner.experiment.marks import Flaw, KeyPath
from runner.experiment.ordering import in_sampling_order
from runner.experiment.parameters import (
    ChoiceParameter,
    FixedParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    is_on_step,
)
from runner.experiment.recipe import MAX
from runner.experiment.scalars import Scalar
from runner.experiment.space import Space

_OPTIONS = {
    "float": ("log", "step", "when"),
    "int": ("log", "step", "when"),
    "choice": ("when",),
    "fixed": ("when",),
}
_FORMS = "a value, or one of {float: [low, high]}, {int: [low, high]}, {choice: [...]}"


def read_space(
    written: Mapping[str, object], recipe: Mapping[str, Scalar], *, keys: TaskKeys
) -> tuple[Space, list[Flaw]]:
    """The space that a mapping describes.

    Args:
        written: Parameter names and what each may be, as read from YAML.
        recipe: The values of `train`, for conditions on keys that the space does not vary.
        keys: What the task's trials may set.
    Returns:
        The space, without the parameters that have flaws; and the flaws, their paths relative
        to the space.
    """
    reader = _SpaceReader(written, recipe, keys)
    parameters = {}
    for name, description in written.items():
        if (parameter := reader.parameter(name, description)) is not None:
            parameters[name] = parameter
    ordered, circles = in_sampling_order(parameters)
    named = {c.parameter for p in ordered.values() for c in p.when} - set(written)
    outside = {name: recipe[name] for name in sorted(named)}
    return Space(ordered, outside), [*reader.flaws, *circles]


class _SpaceReader:
    """Reads one parameter after another and collects the flaws."""

    def __init__(
        self, written: Mapping[str, object], recipe: Mapping[str, Scalar], keys: TaskKeys
    ) -> None:
        self.flaws: list[Flaw] = []
        self._written = written
        self._recipe = recipe
        self._keys = keys

    def parameter(self, name: str, description: Any) -> Parameter | None:
        """The parameter a description stands for, or None if it has flaws."""
        known = len(self.flaws)
        if (unknown := self._keys.name_flaw(name)) is not None:
            self._refuse((name,), *unknown)
            return None
        if isinstance(description, Mapping):
            parameter = self._from_mapping(name, description)
        elif isinstance(description, list | tuple):
            rule = f"must be {_FORMS}; for a choice write {{choice: [...]}}"
            self.flaws.append(Flaw((name,), rule, description))
            return None
        else:
            parameter = FixedParameter(description)
            self._check_value((name,), name, description)
        return parameter if len(self.flaws) == known else None

    def _from_mapping(self, name: str, description: Mapping[str, Any]) -> Parameter | None:
        kinds = [kind for kind in _OPTIONS if kind in description]
        if len(kinds) != 1:
            near = next((n for k in description if (n := nearest_spelling(k, _OPTIONS))), None)
            rule = f"needs exactly one of float, int, choice, fixed; it must be {_FORMS}"
            self._refuse((name,), rule, near if not kinds else None)
            return None
        kind = kinds[0]
        for option in description:
            allowed = (kind, *_OPTIONS[kind])
            if option not in allowed:
                near = nearest_spelling(option, allowed)
                rule = f"unknown key; beside {kind} there may be {', '.join(_OPTIONS[kind])}"
                self._refuse((name, option), rule, near)
        when, flaws = read_conditions(
            name,
            description.get("when", {}),
            self._written,
            parents=self._parents,
            keys=self._keys,
        )
        self.flaws += flaws
        readers: dict[str, Callable[..., Parameter | None]] = {
            "float": self._float,
            "int": self._int,
            "choice": self._choice,
            "fixed": self._fixed,
        }
        return readers[kind](name, description, when)

    def _float(
        self, name: str, written: Mapping[str, Any], when: tuple[Condition, ...]
    ) -> Parameter | None:
        ends = self._ends(name, "float", written["float"])
        log = self._log((name, "log"), written)
        step = written.get("step")
        if step is not None and not (_is_number(step) and 0 < step <= sys.float_info.max):
            self.flaws.append(Flaw((name, "step"), "must be a finite number above 0", step))
            return None
        if ends is None:
            return None
        low, high = float(ends[0]), float(ends[1])
        # What is drawn is a float, also where both ends are whole.
        self._check_value((name, "float"), name, low)
        self._check_range(name, "float", (low, high), step, log)
        return FloatParameter(low, high, log, None if step is None else float(step), when)

    def _int(
        self, name: str, written: Mapping[str, Any], when: tuple[Condition, ...]
    ) -> Parameter | None:
        ends = self._ends(name, "int", written["int"])
        log = self._log((name, "log"), written)
        step = written.get("step", 1)
        if not _is_whole(step) or step < 1:
            self.flaws.append(Flaw((name, "step"), "must be a whole number, at least 1", step))
            return None
        if ends is None:
            return None
        low, high = ends
        self._check_range(name, "int", ends, step if step != 1 else None, log)
        return IntParameter(low, high, log, step, when)

    def _choice(
        self, name: str, written: Mapping[str, Any], when: tuple[Condition, ...]
    ) -> Parameter | None:
        choices, path = written["choice"], (name, "choice")
        if not isinstance(choices, list | tuple) or not choices:
            self.flaws.append(Flaw(path, "must be a list of at least one value", choices))
            return None
        for n, choice in enumerate(choices):
            if any(is_same(choice, other) for other in choices[:n]):
                self.flaws.append(Flaw((*path, n), "is listed twice", choice))
            self._check_value((*path, n), name, choice)
        return ChoiceParameter(tuple(choices), when)

    def _fixed(
        self, name: str, written: Mapping[str, Any], when: tuple[Condition, ...]
    ) -> Parameter | None:
        self._check_value((name, "fixed"), name, written["fixed"])
        return FixedParameter(written["fixed"], when)

    def _ends(self, name: str, kind: str, ends: Any) -> tuple[Any, Any] | None:
        """The two ends of a range, checked each for itself; None if they are flawed."""
        path = (name, kind)
        if not isinstance(ends, list | tuple) or len(ends) != 2:
            self.flaws.append(Flaw(path, "must be a list of two: [low, high]", ends))
            return None
        is_kind = _is_whole if kind == "int" else _is_number
        words = "a whole number" if kind == "int" else "a number"
        known = len(self.flaws)
        for n, end in enumerate(ends):
            if end == MAX and kind == "int" and n == 1:
                if name != "freeze_depth":
                    rule = "max is the model's number of layer groups; only freeze_depth has it"
                    self.flaws.append(Flaw((*path, n), rule, end))
            elif not is_kind(end):
                self.flaws.append(Flaw((*path, n), f"must be {words}", end))
            else:
                self._check_value((*path, n), name, end)
        return (ends[0], ends[1]) if len(self.flaws) == known else None

    def _log(self, path: KeyPath, written: Mapping[str, object]) -> bool:
        log = written.get("log", False)
        if not isinstance(log, bool):
            self.flaws.append(Flaw(path, "must be true or false", log))
            return False
        return log

    def _check_range(
        self, name: str, kind: str, ends: tuple[Any, Any], step: float | None, log: bool
    ) -> None:
        """Flaws of a range as a whole."""
        low, high = ends
        if high != MAX and low >= high:
            rule = "the lower end must be below the upper; for one value, write it bare"
            self.flaws.append(Flaw((name, kind), rule, list(ends)))
        elif step is not None and high != MAX and not is_on_step(high, low, step):
            rule = f"the upper end is not reached from {low} in steps of {step}"
            self.flaws.append(Flaw((name, kind), rule, list(ends)))
        if log and low <= 0:
            rule = "with log: true the lower end must be above 0"
            self.flaws.append(Flaw((name, kind), rule, list(ends)))
        if log and step is not None:
            self.flaws.append(Flaw((name, "step"), "log and step exclude each other", step))

    def _check_value(self, path: KeyPath, name: str, value: object) -> None:
        """A flaw if the recipe itself would not take the value."""
        if flaw := self._keys.value_flaw(name, value):
            self.flaws.append(flaw.below(*path))

    @property
    def _parents(self) -> set[str]:
        """What a condition may name."""
        return {*self._written, *self._recipe}

    def _refuse(self, path: KeyPath, rule: str, nearest: str | None) -> None:
        self.flaws.append(Flaw(path, rule, nearest=nearest))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
