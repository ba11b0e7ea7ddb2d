"""The parts of an evaluation that every task writes alike."""

import math
from collections.abc import Mapping, Sequence
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
