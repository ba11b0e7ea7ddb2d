"""The parts of an evaluation that every task writes alike."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from runner.experiment import TaskForm

# Enough for the picture of worst mistakes, few enough to keep the JSON small.
WORST_MISTAKES = 16


def finite_or_null(value: float) -> float | None:
    """A number as JSON has it: it knows no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None


def opening(form: TaskForm, metrics: Mapping[str, float]) -> dict[str, Any]:
    """What every evaluation begins with."""
    return {
        "task": form.name,
        "kind": str(form.labels),
        "metrics": {name: finite_or_null(value) for name, value in metrics.items()},
    }


def per_class_rows(
    names: Sequence[str], results: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class.

    Args:
        results: As scikit-learn's `precision_recall_fscore_support` gives them.
    """
    return [
        {
            "label": name,
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(support),
        }
        for name, precision, recall, f1, support in zip(names, *results, strict=True)
    ]


def each_column(
    metric: Callable[[np.ndarray, np.ndarray], float], held: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """A metric of each class against the rest; NaN where a class holds always or never.

    One after the other, each contiguous.

    Args:
        metric: Of what holds and of how it is scored, each of shape [N].
        held: Shape [N, C], boolean.
        scores: Shape [N, C]; NaN for all where one is not finite.
    Returns:
        Shape [C].
    """
    results = np.full(held.shape[1], np.nan)
    if not np.isfinite(scores).all():
        return results
    for column, (wanted, score) in enumerate(
        zip(np.ascontiguousarray(held.T), np.ascontiguousarray(scores.T), strict=True)
    ):
        if wanted.any() and not wanted.all():
            results[column] = metric(wanted, score)
    return results


def mean_of_defined(values: np.ndarray) -> float:
    """The mean of the values that are numbers; NaN where none is."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")
