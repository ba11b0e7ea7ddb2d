"""The confusion matrix, for any number of classes."""

import numpy as np
import pytest

from runner.report.confusion import confused_classes, confusion_matrix


def confusion(size: int) -> list[list[int]]:
    counts = np.eye(size, dtype=int) * 20
    counts[0, size - 1] = 7
    return counts.tolist()


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("size", [2, 9, 30])
def test_confusion_matrix_few_classes_have_counts(size):
    figure = confusion_matrix(confusion(size), [f"class {i}" for i in range(size)])

    assert sorted(texts(figure)) == sorted(["20"] * size + ["7"])
    assert figure.axes[0].get_title(loc="left") == f"{20 * size} of {20 * size + 7} right"


@pytest.mark.parametrize("size", [31, 102])
def test_confusion_matrix_many_classes_list_the_most_frequent_mistakes(size):
    figure = confusion_matrix(confusion(size), [f"class {i}" for i in range(size)])

    assert texts(figure) == ["most frequent mistakes", "7", f"class 0 as class {size - 1}"]


def test_confusion_matrix_long_names_keep_both_ends():
    names = [f"American Staffordshire bull terrier {i}" for i in range(31)]

    (_, _, mistake) = texts(confusion_matrix(confusion(31), names))

    assert mistake == "American St… terrier 0 as American St…terrier 30"


def test_confused_classes_lists_the_most_frequent_mistakes_of_many_classes():
    results = [{"label": f"breed {i}", "recall": 0.5, "support": 4} for i in range(10_000)]
    pairs = [{"true": f"breed {i}", "predicted": "breed 7", "count": 90 - i} for i in range(80)]

    figure = confused_classes(pairs, results, title="trial 7")

    assert figure.axes[0].get_title(loc="left") == "20,000 of 40,000 right, 10,000 classes"
    assert texts(figure)[:3] == ["most frequent mistakes", "90", "breed 0 as breed 7"]
    assert len(texts(figure)) == 1 + 2 * 25
