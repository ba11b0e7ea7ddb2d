"""The names and values of metrics that a user's code reports, checked before they are sent."""

import math
import re
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from runner.errors import TrialFailed

# What MLflow takes as the name of a metric (mlflow/utils/validation.py, 3.17).
_PART = r"[\w.\- ]+"
_NAME = re.compile(rf"{_PART}(/{_PART})*")
_LONGEST_NAME = 250
# As for search.max_steps.
LARGEST_STEP = 1_000_000_000


def metric_name(name: object) -> str:
    """The full name of a reported metric: without a slash it is one of validation.

    Raises:
        TrialFailed: If it cannot be the name of a metric.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or {".", ".."} & {*name.split("/")}:
        raise TrialFailed(
            f"{name!r} cannot be a metric's name: it must be letters, digits, '_', '-', '.', "
            "blanks, and '/' between two words"
        )
    full = name if "/" in name else f"validation/{name}"
    if len(full) > _LONGEST_NAME:
        raise TrialFailed(f"the metric's name {full[:40]!r}... is longer than {_LONGEST_NAME}")
    return full


def metric_value(name: str, value: object) -> float:
    """A metric's value as a float; NaN says that it is not defined.

    Args:
        name: Of the metric, for messages.
        value: A number of Python, NumPy or a tensor with one element.
    Raises:
        TrialFailed: If it is no number, or infinite.
    """
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TrialFailed(
            f"{name} is {_shown(value)}, of type {type(value).__name__}; a metric must be a number"
        )
    try:
        figure = float(number)
    except OverflowError:
        figure = math.inf
    if math.isinf(figure):
        raise TrialFailed(
            f"{name} is {figure}; a metric must be a finite number, or NaN where it is not defined"
        )
    return figure


def step_number(step: object) -> int:
    """A step as a whole number.

    Raises:
        TrialFailed: If it is none, or below 1.
    """
    plain = _plain(step)
    if isinstance(plain, bool) or not isinstance(plain, Integral):
        raise TrialFailed(f"the step is {_shown(step)}; it must be a whole number, 1 or more")
    number = int(plain)
    if number < 1:
        raise TrialFailed(
            f"the step is {number}; steps are counted from 1 (in a loop that counts from 0: "
            "step + 1)"
        )
    if number > LARGEST_STEP:
        raise TrialFailed(f"the step is {number}; it can be {LARGEST_STEP} at most")
    return number


def named_values(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one report by their full names.

    Raises:
        TrialFailed: If there are none, or one of them cannot be reported.
    """
    if not metrics:
        raise TrialFailed("a report has no metric; write it beside the step: accuracy=0.9")
    names = [metric_name(name) for name in metrics]
    if doubled := next((name for n, name in enumerate(names) if name in names[:n]), None):
        raise TrialFailed(f"a report has {doubled} twice")
    return {
        name: metric_value(name, value)
        for name, value in zip(names, metrics.values(), strict=True)
    }


def returned_values(returned: object, metric: str) -> dict[str, float] | None:
    """What a user's function returned, as metrics by their full names; None if nothing.

    Args:
        returned: A number, a mapping of metrics, or None.
        metric: Short name of the metric that a single number is the value of.
    Raises:
        TrialFailed: If it is anything else.
    """
    if returned is None:
        return None
    if isinstance(returned, Mapping):
        return named_values(returned)
    number = _plain(returned)
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TrialFailed(
            f"the function returned {_shown(returned)}, of type {type(returned).__name__}; it may "
            f"return a number (the {metric}), a mapping of metrics, or nothing"
        )
    return named_values({metric: number})


def _plain(value: Any) -> Any:
    """The number inside an array or tensor of one element; anything else as it is."""
    if isinstance(value, Real) or not hasattr(value, "item"):
        return value
    try:
        return value.item()
    except (RuntimeError, TypeError, ValueError):
        # More than one element: not a number.
        return value


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
