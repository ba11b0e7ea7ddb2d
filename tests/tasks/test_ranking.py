"""Ranking metrics against scikit-learn's own, over many random cases."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn import metrics

from runner.tasks import ranking
from runner.tasks.ranking import auroc, average_precision


def _cases() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Few and many examples, scores all different, often equal, or all equal."""
    random = np.random.default_rng(5)
    for digits in (0, 1, 9):
        for dtype in (np.float32, np.float64):
            for _ in range(40):
                count = int(random.integers(2, 60))
                held = random.random(count) < random.random()
                held[:2] = True, False
                scores = (random.standard_normal(count) + held * random.random()).round(digits)
                yield held, scores.astype(dtype)
    yield np.array([True, False, True]), np.zeros(3)


def test_auroc_is_scikit_learns() -> None:
    for held, scores in _cases():
        assert auroc(held, scores) == pytest.approx(metrics.roc_auc_score(held, scores), abs=1e-12)


def test_auroc_of_few_is_that_of_many() -> None:
    for held, scores in _cases():
        by_counting = ranking._auroc_of_few(scores[held], scores[~held])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ranking, "_FEW", -1)
            assert auroc(held, scores) == by_counting


def test_average_precision_is_scikit_learns() -> None:
    for held, scores in _cases():
        theirs = metrics.average_precision_score(held, scores)
        assert average_precision(held, scores) == pytest.approx(theirs, abs=1e-12)


def test_equal_scores_count_one_half() -> None:
    assert auroc(np.array([True, False]), np.array([0.3, 0.3])) == 0.5
