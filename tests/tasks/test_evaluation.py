"""The parts of an evaluation that every task writes alike."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from runner.experiment import TASK_FORMS
from runner.tasks.evaluation import each_column, finite_or_null, mean_of_defined, opening


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, 0.5), (math.nan, None), (math.inf, None), (-math.inf, None)]
)
def test_finite_or_null_keeps_what_json_knows(value: float, expected: float | None) -> None:
    assert finite_or_null(value) == expected


def test_opening_says_which_task_and_how_well() -> None:
    opened = opening(TASK_FORMS["text_regression"], {"mae": 0.25, "r2": math.nan})
    assert opened == {
        "task": "text_regression",
        "kind": "number",
        "metrics": {"mae": 0.25, "r2": None},
    }


def test_each_column_is_scikit_learns_where_a_class_holds_for_some() -> None:
    held = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]], dtype=bool)
    scores = np.array([[0.2, 0.1, 0.4], [0.5, 0.2, 0.1], [0.9, 0.3, 0.2]])
    results = each_column(roc_auc_score, held, scores)
    assert results[0] == roc_auc_score([1, 0, 1], [0.2, 0.5, 0.9]) == 0.5
    assert np.isnan(results[1:]).all()
    assert mean_of_defined(results) == 0.5


def test_each_column_of_scores_that_are_not_numbers_is_nan() -> None:
    held = np.array([[1], [0]], dtype=bool)
    results = each_column(roc_auc_score, held, np.array([[np.inf], [0.0]]))
    assert np.isnan(results).all()
    assert math.isnan(mean_of_defined(results))
