"""Calls a user's function for the test with a trial that has ended."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

from runner.errors import TrialFailed, nearest_spelling
from runner.trial.custom.saved import SavedTrial
from runner.trial.custom.source import Reference, load_function, place_of
from runner.trial.custom.surroundings import beside
from runner.trial.custom.values import metric_value, returned_values

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What a user's function for the test found.

    Attributes:
        values: Metrics by their names, the search metric among them.
        quality: How well each example was answered, by its id, larger is better; empty if the
            function does not say.
    """

    values: Mapping[str, float]
    quality: Mapping[str, float]


def measure(written: str, trial: SavedTrial, *, metric: str) -> Measured:
    """Call a function for the test, from its file as it is now, in this process.

    Args:
        written: As `file.py:function`.
        trial: What it is called with.
        metric: Short name of the search metric.
    Raises:
        UnusableFunction: If there is no such function.
        TrialFailed: If it raises, or returns anything but metrics with the search metric among
            them, alone or beside the quality of examples.
    """
    function = load_function(written)
    reference = Reference.of(written)
    try:
        with beside(reference.file.parent):
            returned = function(trial)
    except (Exception, SystemExit) as error:
        logger.warning("%s raised", reference.name, exc_info=True)
        raise TrialFailed(
            f"{reference.name} of trial {trial.number} raised {type(error).__name__}: {error} "
            f"({place_of(error, reference.file)})"
        ) from error
    quality: Mapping[str, float] = {}
    if isinstance(returned, tuple) and len(returned) == 2:
        returned, given = returned
        quality = _qualities(given, reference.name)
    return Measured(_metrics(returned, metric, reference.name), quality)


def _metrics(returned: object, metric: str, function: str) -> dict[str, float]:
    known = returned_values(returned, metric) or {}
    values = {name.removeprefix("validation/"): value for name, value in known.items()}
    if metric not in values:
        there = f"it returned {', '.join(values)}" if values else "it returned nothing"
        near = nearest_spelling(metric, values)
        hint = f"; did you mean {near!r}?" if near else ""
        raise TrialFailed(f"{function} must return {metric}, the search metric; {there}{hint}")
    if not math.isfinite(values[metric]):
        raise TrialFailed(f"{function} returned {values[metric]} as {metric}")
    return values


def _qualities(given: object, function: str) -> dict[str, float]:
    if not isinstance(given, Mapping):
        raise TrialFailed(
            f"{function} returned {type(given).__name__} beside its metrics; the quality of the "
            "examples must be a mapping from their ids to numbers"
        )
    quality = {str(id): metric_value(f"the quality of {id}", each) for id, each in given.items()}
    if undefined := next((id for id, each in quality.items() if math.isnan(each)), None):
        raise TrialFailed(f"{function} returned no number as the quality of {undefined}")
    return quality
