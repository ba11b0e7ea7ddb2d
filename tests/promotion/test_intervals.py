"""Intervals: they agree with scipy's, cover what they should, and stay small in memory."""

import numpy as np
import pytest
from scipy import stats

from runner.promotion.intervals import mean_interval, paired_interval, wilson_interval


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (7, 10), (10, 10), (118, 125)])
def test_wilson_interval_agrees_with_scipy(successes, count):
    theirs = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")

    assert wilson_interval(successes, count) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("is_rounded", [True, False], ids=["few_values", "many_values"])
def test_mean_interval_agrees_with_scipy(is_rounded):
    values = np.random.default_rng(0).exponential(2.0, 300)
    values = np.round(values) if is_rounded else values
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=1
    ).confidence_interval

    assert mean_interval(values) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_mean_interval_is_the_same_every_time():
    values = np.random.default_rng(0).normal(size=200)

    assert mean_interval(values) == mean_interval(values.copy())


def test_paired_interval_of_equal_answers_is_nothing():
    assert paired_interval([1, 0] * 10, [1, 0] * 10) == (0.0, 0.0)
    assert paired_interval([0.3, 0.7] * 100, [0.3, 0.7] * 100) == (0.0, 0.0)


def test_paired_interval_covers_the_difference_and_narrows_with_examples():
    few = paired_interval([1] * 9 + [0], [1] * 8 + [0] * 2)
    many = paired_interval(([1] * 9 + [0]) * 50, ([1] * 8 + [0] * 2) * 50)

    assert few[0] <= 0.1 <= few[1]
    assert many[0] > 0
    assert many[1] - many[0] < few[1] - few[0]


def test_paired_interval_is_narrower_than_its_parts_where_examples_are_hard_for_both():
    hardness = np.random.default_rng(0).normal(size=500)
    ours, theirs = hardness + 0.1, hardness
    low, high = paired_interval(ours, theirs)

    assert (low, high) == pytest.approx((0.1, 0.1))
    assert np.subtract(*mean_interval(ours)[::-1]) > 0.1
