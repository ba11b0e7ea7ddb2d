"""Checks that need several parts of an experiment at once: the space against the recipe, first
settings against the space, the sampler against the parameters."""

from collections.abc import Iterator, Mapping

from runner.errors import nearest_spelling
from runner.experiment.grammar import read_space
from runner.experiment.marks import Flaw
from runner.experiment.parameters import FloatParameter
from runner.experiment.recipe import Recipe
from runner.experiment.recipe_fields import flaw_of_value
from runner.experiment.scalars import Scalar
from runner.experiment.space import Space

_SPACE = ("search", "space")
_FIRST = ("search", "first")


def check_search(
    *, space: object, train: object, first: object, sampler: object
) -> tuple[Space | None, list[Flaw]]:
    """The space of an experiment, and every flaw that shows only between its parts.

    Args:
        space: `search.space` as written.
        train: `train` as written; what it leaves out, or has wrong, counts as the default.
        first: `search.first` as written.
        sampler: `search.sampler` as written.
    Returns:
        The space, or None if it has flaws; and the flaws, with full paths. What is not even of
        the right type is left to the schema's own check.
    """
    if not isinstance(space, Mapping):
        return None, []
    built, flaws = read_space(space, _recipe_values(train))
    found = [flaw.below(*_SPACE) for flaw in flaws]
    flawed = {name for name in space if name not in built.parameters}
    found += [flaw for flaw in _first_flaws(built, first) if flaw.path[-1] not in flawed]
    found += _grid_flaws(built, sampler)
    return (None if found else built), found


def _recipe_values(train: object) -> dict[str, Scalar]:
    values: dict[str, Scalar] = Recipe().model_dump()
    if isinstance(train, Mapping):
        known = {name: value for name, value in train.items() if name in values}
        values |= {name: v for name, v in known.items() if flaw_of_value(name, v) is None}
    return values


def _first_flaws(space: Space, first: object) -> Iterator[Flaw]:
    points = first if isinstance(first, list | tuple) else ()
    for number, point in enumerate(points):
        if isinstance(point, Mapping):
            for name, rule in space.point_flaws(point):
                near = nearest_spelling(name, space.parameters)
                is_known = name in space.parameters
                yield Flaw((*_FIRST, number, name), rule, nearest=None if is_known else near)


def _grid_flaws(space: Space, sampler: object) -> Iterator[Flaw]:
    if sampler != "grid":
        return
    for name, parameter in space.parameters.items():
        if parameter.values() is None and isinstance(parameter, FloatParameter):
            rule = "the grid sampler needs a list of values: add a step, or use choice"
            yield Flaw((*_SPACE, name), rule)
