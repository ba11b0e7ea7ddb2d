"""Checks that need several parts of an experiment at once: the space against the recipe, first
settings against the space, the sampler against the parameters, every part against the task."""

from collections.abc import Iterator, Mapping

from runner.errors import nearest_spelling
from runner.experiment.grammar import read_space
from runner.experiment.keys import TaskKeys, keys_of
from runner.experiment.marks import Flaw
from runner.experiment.parameters import FloatParameter
from runner.experiment.population import population_flaws
from runner.experiment.scalars import Scalar
from runner.experiment.space import Space
from runner.experiment.task_checks import task_flaws
from runner.experiment.task_forms import DEFAULT_TASK

_SPACE = ("search", "space")
_FIRST = ("search", "first")


def check_whole(written: Mapping[str, object]) -> tuple[Space | None, list[Flaw]]:
    """The space of an experiment, and every flaw that shows only between its parts.

    Args:
        written: The experiment as written. What it leaves out, or has wrong in itself, counts
            as the default: what is not even of the right type is left to the schema's own check.
    Returns:
        The space, or None if anything is wrong; and the flaws, with full paths.
    """
    task = written.get("task", DEFAULT_TASK)
    keys = keys_of(task)
    search = written.get("search", {})
    search = search if isinstance(search, Mapping) else {}
    found = [] if keys.form is None else list(task_flaws(written, keys))
    found += _gpu_flaws(written, search)
    space = search.get("space", {})
    if not isinstance(space, Mapping):
        return None, found
    base = written.get("params" if keys.is_free else "train")
    built, flaws = read_space(space, _base_values(base, keys), keys=keys)
    found += [flaw.below(*_SPACE) for flaw in flaws]
    flawed = {name for name in space if name not in built.parameters}
    first = list(_first_flaws(built, search.get("first", ())))
    found += [flaw for flaw in first if flaw.path[-1] not in flawed]
    found += _grid_flaws(built, search.get("sampler"))
    found += population_flaws(search, base, is_custom=keys.is_free)
    return (None if found else built), found


def _base_values(base: object, keys: TaskKeys) -> dict[str, Scalar]:
    """What every trial starts from."""
    values = keys.defaults()
    if isinstance(base, Mapping):
        known = {name: value for name, value in base.items() if keys.is_free or name in values}
        values |= {name: v for name, v in known.items() if keys.value_flaw(name, v) is None}
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


def _gpu_flaws(written: Mapping[str, object], search: Mapping[object, object]) -> Iterator[Flaw]:
    """A trial that takes several GPUs takes no share of one."""
    several = search.get("gpus_per_trial")
    if not isinstance(several, int) or several <= 1:
        return
    pack = search.get("pack")
    if isinstance(pack, int) and pack > 1:
        rule = (
            f"must be 1 or auto where search.gpus_per_trial is {several}: nothing shares its GPUs"
        )
        yield Flaw(("search", "pack"), rule, pack)
    ray = written.get("ray")
    share = ray.get("gpus") if isinstance(ray, Mapping) else None
    if share is not None:
        rule = f"must be left out where search.gpus_per_trial is {several}, which Ray is asked for"
        yield Flaw(("ray", "gpus"), rule, share)
