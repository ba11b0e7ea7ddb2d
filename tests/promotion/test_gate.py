"""The promotion gate: intervals and refusals."""

import pytest
from scipy import stats

from runner.errors import PromotionRefused
from runner.promotion.gate import (
    Champion,
    Evaluation,
    paired_interval,
    require_no_worse,
    require_other_trial,
    require_same_split,
    wilson_interval,
)


def evaluation(right: int, *, of: int = 100, metric: str = "accuracy", is_maximized: bool = True):
    values = {"accuracy": right / of, "loss": 1 - right / of}
    correct = {f"{n:03}.jpg": n < right for n in range(of)}
    return Evaluation("split-a", metric, values, is_maximized, correct)


def champion(right: int, **settings) -> Champion:
    return Champion("3", "run-3", "split-a", evaluation(right, **settings))


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (7, 10), (10, 10), (118, 125)])
def test_wilson_interval_agrees_with_scipy(successes, count):
    theirs = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")

    assert wilson_interval(successes, count) == pytest.approx((theirs.low, theirs.high))


def test_paired_interval_of_equal_answers_is_nothing():
    assert paired_interval([True, False] * 10, [True, False] * 10) == (0.0, 0.0)


def test_paired_interval_covers_the_difference_and_narrows_with_examples():
    few = paired_interval([True] * 9 + [False], [True] * 8 + [False] * 2)
    many = paired_interval(([True] * 9 + [False]) * 50, ([True] * 8 + [False] * 2) * 50)

    assert few[0] <= 0.1 <= few[1]
    assert many[0] > 0
    assert many[1] - many[0] < few[1] - few[0]


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
    with pytest.raises(PromotionRefused, match="the champion is better: loss 0.1000"):
        require_no_worse(evaluation(90, **better), champion(95, **better))


def test_champion_of_another_split_may_have_seen_the_examples():
    with pytest.raises(PromotionRefused, match="may have seen these test examples in training"):
        require_same_split("split-b", champion(90))
    require_same_split("split-a", champion(90))


def test_champion_is_not_promoted_over_itself():
    with pytest.raises(PromotionRefused, match=r"is the champion already \(version 3\)"):
        require_other_trial("run-3", champion(90))
