"""Numbers: standardised while learnt, reported in their own units."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics

from runner.errors import DataError
from runner.experiment import TASK_FORMS
from runner.tasks import Predictions
from runner.tasks.regression import RegressionTask

_FORM = TASK_FORMS["text_regression"]
_LABELS = [10.0, 20.0, 30.0, 60.0]


def _predictions(task: RegressionTask, actual: list[float], guessed: list[float]) -> Predictions:
    outputs, targets, _ = task.rows(task.encode(guessed), task.encode(actual))
    return Predictions(outputs, targets, tuple(f"t{index}" for index in range(len(actual))))


def test_over_takes_mean_and_standard_deviation_of_the_training_labels() -> None:
    task = RegressionTask.over(_FORM, _LABELS)
    assert task.facts() == {
        "task": "text_regression",
        "kind": "number",
        "mean": 30.0,
        "std": pytest.approx(np.std(_LABELS)),
    }
    encoded = task.encode(_LABELS)
    assert encoded.dtype is torch.float32
    assert encoded.mean().item() == pytest.approx(0, abs=1e-6)
    assert encoded.std(unbiased=False).item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3.5, 3.5, 3.5], "all 3 training targets are 3.5: there is nothing to learn"),
        ([-1e308, 1.0, 1e308], "from -1e[+]308 to 1e[+]308 have no finite standard deviation"),
    ],
)
def test_over_labels_without_a_scale_is_refused(labels: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        RegressionTask.over(_FORM, labels)


def test_score_is_scikit_learns_in_the_targets_own_units() -> None:
    task = RegressionTask.over(_FORM, _LABELS)
    actual, guessed = [12.0, 33.0, 70.0, -5.0], [10.0, 36.0, 50.0, 0.0]
    scores = task.score(_predictions(task, actual, guessed))
    assert scores == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(actual, guessed),
            "rmse": metrics.root_mean_squared_error(actual, guessed),
            "r2": metrics.r2_score(actual, guessed),
            "loss": metrics.mean_squared_error(actual, guessed) / np.var(_LABELS),
        }
    )


def test_score_of_targets_far_from_zero_keeps_their_digits() -> None:
    labels = [1e9 + offset for offset in range(8)]
    task = RegressionTask.over(_FORM, labels)
    scores = task.score(_predictions(task, labels, [label + 0.5 for label in labels]))
    assert scores["mae"] == pytest.approx(0.5, abs=1e-5)


def test_score_of_targets_that_are_all_the_same_has_no_r2() -> None:
    task = RegressionTask.over(_FORM, _LABELS)
    scores = task.score(_predictions(task, [5.0, 5.0], [4.0, 7.0]))
    assert math.isnan(scores["r2"])
    assert scores["mae"] == pytest.approx(1.5, abs=1e-5)


def test_evaluate_gives_points_and_residuals() -> None:
    task = RegressionTask.over(_FORM, _LABELS)
    evaluation = task.evaluate(_predictions(task, [12.0, 33.0, 70.0], [10.0, 36.0, 70.0]))
    assert evaluation["points"] == [[12.0, 10.0], [33.0, 36.0], [70.0, 70.0]]
    assert evaluation["residual_quantiles"] == pytest.approx(
        {"0.05": -1.8, "0.25": -1.0, "0.5": 0.0, "0.75": 1.5, "0.95": 2.7}, abs=1e-5
    )
    assert evaluation["worst"] == [
        {"id": "t1", "true": 33.0, "predicted": 36.0, "error": 3.0},
        {"id": "t0", "true": 12.0, "predicted": 10.0, "error": 2.0},
    ]


def test_evaluate_of_many_examples_gives_two_thousand_points_from_first_to_last() -> None:
    actual = [float(value) for value in range(5001)]
    task = RegressionTask.over(_FORM, actual)
    points = task.evaluate(_predictions(task, actual, actual))["points"]
    chosen = [point[0] for point in points]
    assert (len(chosen), chosen[0], chosen[-1]) == (2000, 0.0, 5000.0)
    assert set(np.diff(chosen).round().tolist()) == {2.0, 3.0}


def test_quality_is_minus_the_absolute_error() -> None:
    task = RegressionTask.over(_FORM, _LABELS)
    quality = task.quality(_predictions(task, [12.0, 33.0], [10.0, 36.0]))
    assert quality == pytest.approx({"t0": -2.0, "t1": -3.0}, abs=1e-5)
