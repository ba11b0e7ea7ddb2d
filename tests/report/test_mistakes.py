"""Mistakes in words, for every kind of label."""

import pytest

from runner.experiment import LabelKind
from runner.report.mistakes import Mistake, mistakes_of, percent_text


def test_mistakes_of_classes_have_names_whether_by_index_or_by_name():
    rows = [
        {"id": "a", "true": 0, "predicted": 1, "probability": 0.987},
        {"id": "b", "true": "dog", "predicted": "cat", "probability": None},
    ]

    found = mistakes_of(rows, LabelKind.CLASS, classes=["cat", "dog"])

    assert found == [
        Mistake("a", ("cat",), ("dog",), "99%"),
        Mistake("b", ("dog",), ("cat",), ""),
    ]


def test_mistakes_of_several_labels_say_which_were_missed_wrong_and_right():
    row = {"id": "a", "true": ["sea", "boat"], "predicted": ["sea", "dog"], "error": 2}

    (found,) = mistakes_of([row], LabelKind.CLASSES)

    assert (found.missed, found.added, found.right) == (("boat",), ("dog",), ("sea",))
    assert found.measure == ""


def test_mistakes_of_numbers_are_off_by_a_signed_error():
    rows = [
        {"id": "a", "true": 1500, "predicted": 1234.5, "error": 265.5},
        {"id": "b", "true": 1500.0, "predicted": None, "error": None},
    ]

    below, broken = mistakes_of(rows, LabelKind.NUMBER)

    assert below == Mistake("a", ("1500.0",), ("1234.5",), "off by -265.50")
    assert broken == Mistake("b", ("1500.0",), ("not a number",), "")


@pytest.mark.parametrize(
    ("probability", "text"), [(0.5, "50%"), (0.9949, "99%"), (0.9996, "99.9%"), (1.0, "100%")]
)
def test_percent_text_below_one_is_never_a_hundred(probability, text):
    assert percent_text(probability) == text
