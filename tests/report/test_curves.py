"""Learning curves: a panel a metric, marked where the direction is known."""

import math

import pytest

from runner.report.curves import learning_curves

LOSSES = [(2.0, 1.9), (1.0, math.nan), (0.5, 1.2)]
MAES = [1300.5, 1234.5, 1250.0]
HISTORY = [
    {
        "epoch": epoch,
        "time_ms": 1700000000000 + epoch,
        "train/loss": train,
        "validation/loss": validation,
        "validation/mae": mae,
    }
    for epoch, ((train, validation), mae) in enumerate(zip(LOSSES, MAES, strict=True), start=1)
]


def marks(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_learning_curves_mark_the_best_epoch_by_each_metrics_direction():
    loss, mae = learning_curves(HISTORY, directions={"loss": "minimize", "mae": "minimize"}).axes

    assert loss.get_title(loc="left") == "loss"
    assert mae.get_title(loc="left") == "mae (validation)"
    assert marks(loss) == ["1.2"]
    assert marks(mae) == ["1234.5"]
    validation = loss.get_lines()[1]
    assert list(validation.get_xdata()) == [1, 3]


def test_learning_curves_maximized_metric_is_marked_at_its_highest():
    _, mae = learning_curves(HISTORY, directions={"mae": "maximize"}).axes

    assert marks(mae) == ["1300.5"]
    assert mae.texts[0].xy == (1, 1300.5)


def test_learning_curves_metric_without_a_direction_gets_no_mark():
    loss, mae = learning_curves(HISTORY, directions={"mae": "minimize"}).axes

    assert marks(loss) == []
    assert marks(mae) == ["1234.5"]


def test_learning_curves_metric_that_never_had_a_value_has_no_panel():
    rows = [{"epoch": 1, "validation/auroc": math.nan, "validation/f1": 0.5, "validation/x": None}]

    (only,) = learning_curves(rows).axes

    assert only.get_title(loc="left") == "f1 (validation)"


def test_learning_curves_of_an_empty_history_draws_nothing():
    assert learning_curves([]).axes == []


def test_learning_curves_counts_in_the_unit_it_is_told():
    (only,) = learning_curves([{"epoch": 5, "validation/cost": 3}], unit="step").axes

    assert only.get_xlabel() == "step"


@pytest.mark.parametrize(("metrics", "panels"), [(1, 1), (4, 4), (7, 7), (60, 24)])
def test_learning_curves_panels_stay_few_enough_to_read(metrics, panels):
    rows = [{"epoch": 1, **{f"validation/metric{i:02}": i for i in range(metrics)}}]

    assert len(learning_curves(rows).axes) == panels
