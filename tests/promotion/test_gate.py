"""The promotion gate: what is compared, in which words, and what is refused."""

import json
import math

import pytest

from runner.errors import PromotionRefused
from runner.experiment import LabelKind
from runner.promotion.gate import (
    Champion,
    Evaluation,
    QualityInterval,
    quality_interval,
    require_comparable,
    require_no_worse,
    require_other_trial,
    require_same_split,
)

# As runs of the first version have it in MLflow.
OLD_LOOK = """
{"split": "split-a", "metric": "accuracy", "values": {"accuracy": 0.75, "loss": 0.7},
 "is_maximized": true, "correct": {"a.jpg": true, "b.jpg": false, "c.jpg": true, "d.jpg": true}}
"""


def evaluation(right: int, *, of: int = 100, metric: str = "accuracy", is_maximized: bool = True):
    values = {"accuracy": right / of, "loss": 1 - right / of}
    quality = {f"{n:03}.jpg": float(n < right) for n in range(of)}
    return Evaluation("split-a", metric, values, is_maximized, quality)


def champion(right: int, **settings) -> Champion:
    return Champion("3", "run-3", "split-a", evaluation(right, **settings))


def of_kind(labels: LabelKind, metric: str, value: float, quality: list[float]) -> Evaluation:
    is_maximized = metric not in ("mae", "rmse", "loss")
    named = {f"row {n}": figure for n, figure in enumerate(quality)}
    return Evaluation("split-a", metric, {metric: value}, is_maximized, named, labels)


def test_worse_candidate_is_refused_with_both_values_and_the_interval():
    with pytest.raises(PromotionRefused) as caught:
        require_no_worse(evaluation(90), champion(95))

    message = str(caught.value)
    assert "the champion is better: accuracy 0.9000 against the champion's 0.9500" in message
    assert "(version 3) on the same 100 test examples" in message
    assert "difference in accuracy between -0.1000 and -0.0100" in message


def test_better_or_equal_candidate_passes_and_the_comparison_is_said():
    assert "accuracy 0.9500 against" in require_no_worse(evaluation(95), champion(95))
    assert "between +0.0" in require_no_worse(evaluation(99), champion(90))


def test_smaller_loss_is_better():
    better = {"metric": "loss", "is_maximized": False}

    require_no_worse(evaluation(95, **better), champion(90, **better))
    with pytest.raises(PromotionRefused, match=r"the champion is better: loss 0\.1000"):
        require_no_worse(evaluation(90, **better), champion(95, **better))


def test_smaller_error_of_numbers_is_better_and_its_difference_is_said():
    worse = of_kind(LabelKind.NUMBER, "mae", 3.0, [-3.0, -2.0, -4.0, -3.0])
    better = of_kind(LabelKind.NUMBER, "mae", 1.0, [-1.0, -1.0, -1.0, -1.0])

    said = require_no_worse(better, Champion("3", "run-3", "split-a", worse))
    assert "mae 1.0000 against the champion's 3.0000 (version 3) on the same 4 test" in said
    assert "difference in mean absolute error between -2.7500 and -1.2500 (95 %)" in said
    with pytest.raises(PromotionRefused, match="the champion is better: mae 3.0000") as caught:
        require_no_worse(worse, Champion("3", "run-3", "split-a", better))
    assert "mean absolute error between +1.2500 and +2.7500" in str(caught.value)


def test_the_candidates_metric_decides_where_the_champion_was_chosen_by_another():
    by_loss = champion(90, metric="loss", is_maximized=False)

    assert "accuracy 0.9500 against the champion's 0.9000" in require_no_worse(
        evaluation(95), by_loss
    )
    with pytest.raises(PromotionRefused, match="accuracy 0.8000 against the champion's 0.9000"):
        require_no_worse(evaluation(80), by_loss)


def test_champion_without_the_candidates_metric_is_not_compared():
    tags = of_kind(LabelKind.TAGS, "f1", 0.9, [1.0, 0.5])

    with pytest.raises(PromotionRefused) as caught:
        require_no_worse(tags, champion(90))
    assert str(caught.value) == (
        "the champion (version 3) has no test f1, by which this study chooses; it has accuracy, "
        "loss. To replace it without a comparison, add --without-comparison"
    )


def test_champion_of_another_kind_is_refused_before_the_test_split_is_looked_at():
    with pytest.raises(PromotionRefused, match=r"\(version 3\) has no test mae, by which this"):
        require_comparable("mae", LabelKind.CLASS, champion(90))
    with pytest.raises(PromotionRefused, match="learnt another task: its loss is of class, this"):
        require_comparable("loss", LabelKind.NUMBER, champion(90))
    with pytest.raises(PromotionRefused, match="this study's of a task of your own"):
        require_comparable("accuracy", None, champion(90))
    require_comparable("loss", LabelKind.CLASS, champion(90))


def test_candidate_whose_metric_is_undefined_does_not_slip_through():
    undefined = of_kind(LabelKind.CLASS, "auroc", math.nan, [1.0, 0.0])
    other = of_kind(LabelKind.CLASS, "auroc", 0.9, [1.0, 0.0])

    with pytest.raises(PromotionRefused, match="auroc is not defined on these 2 test examples"):
        require_no_worse(undefined, Champion("3", "run-3", "split-a", other))
    assert "against the champion's nan" in require_no_worse(
        other, Champion("3", "run-3", "split-a", undefined)
    )


def test_models_that_answered_other_examples_are_compared_by_value_alone():
    ours, theirs = evaluation(95), champion(90)
    apart = {f"other {name}": figure for name, figure in theirs.evaluation.quality.items()}
    stranger = Evaluation("split-a", "accuracy", theirs.evaluation.values, True, apart)

    assert require_no_worse(ours, Champion("3", "run-3", "split-a", stranger)).endswith(
        "0.9000 (version 3) on other test examples"
    )


@pytest.mark.parametrize(
    ("labels", "quality", "name"),
    [
        (LabelKind.CLASSES, [1.0, 0.5, 0.75, 0.75], "share of labels right"),
        (LabelKind.TAGS, [1.0, 0.5, 0.9, 0.6], "share of words right, averaged over the"),
    ],
)
def test_quality_interval_of_shares_is_called_what_it_is(labels, quality, name):
    interval = quality_interval(of_kind(labels, "x", 0.0, quality))

    assert interval.name.startswith(name)
    assert interval.value == pytest.approx(0.75)
    assert 0.5 <= interval.low < interval.value < interval.high <= 1.0


def test_quality_interval_of_accuracy_is_wilsons():
    interval = quality_interval(evaluation(90))

    assert str(interval) == "accuracy 0.9000 (95 % interval 0.8256 to 0.9448)"


def test_quality_interval_of_numbers_is_a_positive_error_in_their_units():
    interval = quality_interval(of_kind(LabelKind.NUMBER, "r2", 0.5, [-12000.0, -18000.0] * 20))

    assert interval.name == "mean absolute error"
    assert interval.low < interval.value == 15000 < interval.high
    assert str(interval).startswith("mean absolute error 15000 (95 % interval 14")


@pytest.mark.parametrize("labels", LabelKind)
def test_evaluation_survives_json(labels):
    written = of_kind(labels, "loss", 0.25, [0.5, -1.5])

    assert Evaluation.from_json(json.loads(json.dumps(written.to_json()))) == written


def test_evaluation_of_the_first_version_is_still_read():
    old = Evaluation.from_json(json.loads(OLD_LOOK))

    assert old.labels is LabelKind.CLASS
    assert old.quality == {"a.jpg": 1.0, "b.jpg": 0.0, "c.jpg": 1.0, "d.jpg": 1.0}
    assert (old.split, old.metric, old.value, old.is_maximized) == (
        "split-a",
        "accuracy",
        0.75,
        True,
    )
    assert quality_interval(old).value == old.value


def test_champion_of_another_split_may_have_seen_the_examples():
    with pytest.raises(PromotionRefused, match="may have seen these test examples in training"):
        require_same_split("split-b", champion(90))
    require_same_split("split-a", champion(90))


def test_champion_is_not_promoted_over_itself():
    with pytest.raises(PromotionRefused, match=r"is the champion already \(version 3\)"):
        require_other_trial("run-3", champion(90))


@pytest.mark.parametrize(
    ("name", "metric", "expected"),
    [
        ("accuracy", "accuracy", True),
        ("mean absolute error", "mae", True),
        ("accuracy", "macro_f1", False),
        ("quality", "mae", False),  # of an objective of one's own: nothing says what it is
    ],
)
def test_quality_interval_knows_which_metric_it_is(name, metric, expected):
    assert QualityInterval(name, 0.5, 0.4, 0.6).is_metric(metric) is expected
