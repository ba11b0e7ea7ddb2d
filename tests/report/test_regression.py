"""Predicted against actual: every example is in it, far-off ones at the edge."""

import math

import numpy as np

from runner.report.regression import predicted_against_actual


def points(count: int = 50) -> list[list[float]]:
    return [[1000.0 + 10 * i, 1000.0 + 10 * i + (-1) ** i * (i % 7)] for i in range(count)]


def notes(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_predicted_against_actual_shows_every_example_the_metrics_and_the_diagonal():
    metrics = {"mae": 1234.5, "rmse": 1500.25, "r2": -0.25, "loss": 0.3}

    scatter, residuals = predicted_against_actual(points(), metrics=metrics).axes

    assert scatter.get_title(loc="left").strip() == "mae 1234.5   rmse 1500.2   r2 -0.2500"
    assert notes(scatter) == ["50 examples"]
    drawn = scatter.collections[0].get_offsets()
    np.testing.assert_allclose(drawn, points())
    diagonal = scatter.get_lines()[0]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert sum(patch.get_height() for patch in residuals.patches) == 50
    assert residuals.get_xlabel() == "predicted - actual"


def test_predicted_against_actual_one_wild_prediction_does_not_press_the_others_together():
    wild = [*points(), [1200.0, 9e9]]

    scatter, residuals = predicted_against_actual(wild).axes

    assert scatter.get_ylim()[1] < 4000
    assert notes(scatter) == ["51 examples; 1 beyond the edge"]
    (edge,) = scatter.collections[1].get_offsets().tolist()
    assert edge[0] == 1200.0
    assert scatter.get_ylim()[0] < edge[1] < scatter.get_ylim()[1]
    assert notes(residuals)[0].endswith("; 1 beyond the edge")
    assert sum(patch.get_height() for patch in residuals.patches) == 51
    assert sum(patch.get_height() > 0 for patch in residuals.patches) > 4


def test_predicted_against_actual_leaves_out_what_is_no_number():
    scatter, _ = predicted_against_actual(
        [*points(3), [1.0, None], [math.nan, 2.0], [1.0, math.inf]], metrics={"mae": None}
    ).axes

    assert notes(scatter) == ["3 examples"]
    assert scatter.get_title(loc="left").strip() == "predicted against actual"


def test_predicted_against_actual_of_nothing_and_of_a_constant_do_not_fail():
    nothing = predicted_against_actual([[1.0, None]])
    assert nothing.axes == []
    assert nothing.texts[0].get_text() == "no prediction is a finite number"
    scatter, _ = predicted_against_actual([[2.0, 2.0]] * 3).axes
    low, high = scatter.get_xlim()
    assert low < 2.0 < high
