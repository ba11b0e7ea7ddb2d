"""Counted metrics against scikit-learn's own, over many random cases."""

import numpy as np
import pytest
from sklearn import metrics

from runner.tasks.counting import (
    confusion_counts,
    correlation,
    counts_of_labels,
    counts_of_pairs,
    most_confused,
)


def _cases(count: int = 150) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Few and many examples and classes, guesses and near certainties, classes that lack."""
    random = np.random.default_rng(3)
    cases = []
    for _ in range(count):
        classes, examples = int(random.integers(2, 7)), int(random.integers(1, 40))
        expected = random.integers(0, random.integers(1, classes + 1), examples)
        is_right = random.random(examples) < random.random()
        guesses = random.integers(0, random.integers(1, classes + 1), examples)
        cases.append((expected, np.where(is_right, expected, guesses), classes))
    return cases


def test_confusion_counts_are_scikit_learns() -> None:
    for expected, predicted, classes in _cases():
        theirs = metrics.confusion_matrix(expected, predicted, labels=list(range(classes)))
        assert (confusion_counts(expected, predicted, classes) == theirs).all()


def test_most_confused_are_the_largest_cells_beside_the_diagonal() -> None:
    listed = 0
    for expected, predicted, classes in _cases():
        matrix = confusion_counts(expected, predicted, classes)
        np.fill_diagonal(matrix, 0)
        pairs = most_confused(expected, predicted, classes, at_most=4)
        assert [matrix[true, wrong] for true, wrong, _ in pairs] == [n for *_, n in pairs]
        largest = sorted(matrix[matrix > 0].tolist(), reverse=True)
        assert [count for *_, count in pairs] == largest[:4]
        assert len({(true, wrong) for true, wrong, _ in pairs}) == len(pairs)
        listed += len(pairs)
    assert listed > 200


@pytest.mark.parametrize("undefined", [0.0, np.nan])
def test_per_class_is_scikit_learns_for_classes(undefined: float) -> None:
    for expected, predicted, classes in _cases():
        counts = counts_of_pairs(expected, predicted, classes)
        theirs = metrics.precision_recall_fscore_support(
            expected, predicted, labels=list(range(classes)), zero_division=undefined
        )
        for ours, wanted in zip(counts.per_class(undefined=undefined), theirs, strict=True):
            np.testing.assert_allclose(ours, wanted, rtol=1e-12)


@pytest.mark.parametrize("undefined", [0.0, np.nan])
def test_per_class_is_scikit_learns_for_labels_side_by_side(undefined: float) -> None:
    random = np.random.default_rng(4)
    for _ in range(150):
        shape = int(random.integers(1, 30)), int(random.integers(2, 6))
        held = (random.random(shape) < random.random(shape[1])).astype(np.int64)
        predicted = (random.random(shape) < random.random(shape[1])).astype(np.int64)
        counts = counts_of_labels(held, predicted)
        theirs = metrics.precision_recall_fscore_support(
            held, predicted, labels=list(range(shape[1])), zero_division=undefined
        )
        for ours, wanted in zip(counts.per_class(undefined=undefined), theirs, strict=True):
            np.testing.assert_allclose(ours, wanted, rtol=1e-12)
        micro = metrics.f1_score(held.ravel(), predicted.ravel(), zero_division=undefined)
        np.testing.assert_allclose(counts.pooled().f1(undefined=undefined), [micro], rtol=1e-12)


def test_correlation_is_scikit_learns_where_two_classes_occur() -> None:
    compared = 0
    for expected, predicted, classes in _cases():
        ours = correlation(counts_of_pairs(expected, predicted, classes))
        if len(np.unique(expected)) < 2:
            assert np.isnan(ours)
            continue
        assert ours == pytest.approx(metrics.matthews_corrcoef(expected, predicted), abs=1e-12)
        compared += 1
    assert compared > 50
