"""The grammar of `when:`, which says under which conditions a parameter is in use."""

import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from runner.errors import nearest_spelling
from runner.experiment.conditions import Comparison, Condition, is_same
from runner.experiment.keys import TaskKeys
from runner.experiment.marks import Flaw, KeyPath
from runner.experiment.recipe import MAX
from runner.experiment.scalars import Scalar, printable

_OPERATORS = {c.value: c for c in (Comparison.NOT, Comparison.BELOW, Comparison.ABOVE)}


def read_conditions(
    name: str,
    written: object,
    space: Mapping[str, object],
    *,
    parents: Collection[str],
    keys: TaskKeys,
) -> tuple[tuple[Condition, ...], list[Flaw]]:
    """The conditions of one parameter.

    Args:
        name: The parameter they belong to.
        written: What stands after `when:`.
        space: The whole space as written, to look up the parents.
        parents: What a condition may name.
        keys: What the task's trials may set.
    Returns:
        The conditions and the flaws, their paths relative to the space.
    """
    path: KeyPath = (name, "when")
    if not isinstance(written, Mapping):
        rule = "must be a mapping such as {optimizer: sgd} or {freeze_depth: {below: max}}"
        return (), [Flaw(path, rule, written)]
    conditions: list[Condition] = []
    flaws: list[Flaw] = []
    for parent, demand in written.items():
        here = (*path, parent)
        if parent not in parents:
            near = nearest_spelling(parent, parents)
            rule = "a condition may name only a parameter of the space or a key of `train`"
            flaws.append(Flaw(here, rule, parent, near))
            continue
        for condition, where in _demands(parent, demand, here, flaws):
            found = list(_flaws(condition, where, space.get(parent), keys))
            flaws += found
            conditions += [] if found else [condition]
    return tuple(conditions), flaws


def _demands(
    parent: str, demand: object, path: KeyPath, flaws: list[Flaw]
) -> Iterator[tuple[Condition, KeyPath]]:
    """The single demands in what stands after a parent's name, and where each is written."""
    if not isinstance(demand, Mapping):
        yield Condition(parent, Comparison.IN, _as_tuple(demand)), path
        return
    if not demand:
        flaws.append(Flaw(path, "must be a value, a list of values, or not, below or above"))
    for word, value in demand.items():
        comparison = _OPERATORS.get(word)
        if comparison is None:
            near = nearest_spelling(word, _OPERATORS)
            rule = "unknown comparison; there are not, below and above"
            flaws.append(Flaw((*path, word), rule, word, near))
        else:
            yield Condition(parent, comparison, _as_tuple(value)), (*path, word)


def _flaws(condition: Condition, path: KeyPath, parent: object, keys: TaskKeys) -> Iterator[Flaw]:
    """What is wrong with one demand, given how the space describes its parent."""
    if condition.comparison in (Comparison.BELOW, Comparison.ABOVE):
        yield from _flaws_of_bound(condition, path, keys)
        return
    if not condition.values:
        yield Flaw(path, "must list at least one value")
    choices = _possible(parent)
    for value in condition.values:
        if flaw := keys.value_flaw(condition.parameter, value):
            yield flaw.below(*path)
        elif choices is not None and not any(is_same(value, other) for other in choices):
            listed = ", ".join(printable(choice) for choice in choices)
            rule = f"never happens: in this space {condition.parameter} is one of {listed}"
            yield Flaw(path, rule, value)


def _flaws_of_bound(condition: Condition, path: KeyPath, keys: TaskKeys) -> Iterator[Flaw]:
    if len(condition.values) != 1:
        yield Flaw(path, "must be one number", list(condition.values))
        return
    value = condition.values[0]
    if not _is_finite(value) and not (value == MAX and condition.parameter == "freeze_depth"):
        yield Flaw(path, "must be a finite number (or, for freeze_depth, max)", value)
    elif all(keys.value_flaw(condition.parameter, number) for number in (0.5, 1)):
        rule = f"{condition.parameter} is not a number, so nothing is below or above it"
        yield Flaw(path, rule, value)


def _is_finite(value: object) -> bool:
    """Whether a value is a number that a float can hold; NaN is not below anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _possible(parent: Any) -> list[Scalar] | None:
    """All values a parent can have as the space is written; None if they are not listed."""
    if isinstance(parent, Mapping):
        if isinstance(parent.get("choice"), list | tuple):
            return list(parent["choice"])
        return [parent["fixed"]] if "fixed" in parent else None
    return None if parent is None or isinstance(parent, list | tuple) else [parent]


def _as_tuple(value: Any) -> tuple[Scalar, ...]:
    """The values a demand lists; that they are scalars is checked by `_flaws`."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
