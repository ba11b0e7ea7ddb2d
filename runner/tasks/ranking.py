"""Metrics that follow from the order in which scores put the examples of a class.

scikit-learn's definitions without its checks of each call; the tests hold them against it.
"""

import numpy as np


def auroc(held: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often an example that holds scores above one that does not.

    Equal scores count one half.

    Args:
        held: Shape [N], boolean, neither all nor none.
        scores: Shape [N], finite.
    """
    right, wrong = _at_thresholds(held, scores)
    widths = np.diff(wrong, prepend=0)
    heights = right - np.diff(right, prepend=0) / 2
    return float(widths @ heights) / float(right[-1] * wrong[-1])


def average_precision(held: np.ndarray, scores: np.ndarray) -> float:
    """Precision at each threshold, weighed by the recall that the threshold adds.

    Args:
        held: Shape [N], boolean, not none.
        scores: Shape [N], finite.
    """
    right, wrong = _at_thresholds(held, scores)
    added = np.diff(right, prepend=0)
    return float(added @ (right / (right + wrong))) / float(right[-1])


def _at_thresholds(held: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many that hold, and that do not, score at least each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    right = np.cumsum(held[order], dtype=np.float64)[last]
    return right, last + 1.0 - right
