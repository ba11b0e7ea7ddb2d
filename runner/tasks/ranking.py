"""Metrics that follow from the order in which scores put the examples of a class.

scikit-learn's definitions without its checks of each call; the tests hold them against it.
"""

import numpy as np

# Up to so many examples that hold, comparing each with all others is quicker than to sort: where
# there are ten thousand classes of a few examples each, thirty times.
_FEW = 8


def auroc(held: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often an example that holds scores above one that does not.

    Equal scores count one half.

    Args:
        held: Shape [N], boolean, neither all nor none.
        scores: Shape [N], finite.
    """
    if np.count_nonzero(held) <= _FEW:
        return _auroc_of_few(scores[held], scores[~held])
    right, wrong = _at_thresholds(held, scores)
    widths = np.diff(wrong, prepend=0)
    heights = right - np.diff(right, prepend=0) / 2
    return float(widths @ heights) / float(right[-1] * wrong[-1])


def _auroc_of_few(holding: np.ndarray, others: np.ndarray) -> float:
    """The same by counting: both ways add up halves, which is exact."""
    below = sum(
        np.count_nonzero(others < score) + np.count_nonzero(others == score) / 2
        for score in holding
    )
    return float(below) / float(len(holding) * len(others))


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
