"""Tables of answers: columns that never hide one another, and rows as they were asked."""

import pandas as pd
import pytest
import torch

from runner.promotion.served_answers import answer_table, class_column


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("cat", "cat"),
        ("label", "class label"),
        ("probability_2", "class probability_2"),
        ("image", "class image"),
        ("labels", "class labels"),
        ("labelled", "labelled"),
    ],
)
def test_class_column_never_hides_another(name: str, column: str) -> None:
    assert class_column(name) == column


def test_label_table_of_equal_probabilities_takes_the_first_class() -> None:
    spec = {"kind": "class", "classes": ["a", "b"]}
    table = answer_table(torch.zeros(2, 2), spec, {}, index=pd.Index(["x", "y"]))
    assert table.to_dict("index") == {
        row: {"label": "a", "probability": 0.5, "a": 0.5, "b": 0.5} for row in ("x", "y")
    }


def test_labels_table_holds_those_from_the_threshold_on() -> None:
    spec = {"kind": "classes", "classes": ["a", "b", "label"]}
    outputs = torch.tensor([[0.0, 5.0, -5.0], [-5.0, -5.0, -5.0]])
    table = answer_table(outputs, spec, {"threshold": 0.5}, index=pd.RangeIndex(2))
    assert list(table.columns) == ["labels", "a", "b", "class label"]
    assert list(table["labels"]) == ["a, b", ""]


def test_number_table_keeps_digits_that_single_precision_would_lose() -> None:
    spec = {"kind": "number", "classes": [], "mean": 1.7e9, "std": 10.0}
    table = answer_table(torch.tensor([[0.25]]), spec, {}, index=pd.RangeIndex(1))
    assert table["prediction"][0] == 1.7e9 + 2.5
