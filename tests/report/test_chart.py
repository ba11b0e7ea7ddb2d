"""The drawing of the study page: values of any size, better upwards or downwards."""

import re

import pytest

from runner.report import LeaderboardRow, rank
from runner.report.chart import chart, nice_ticks, tick_texts, value_range


def test_chart_best_line_steps_at_each_better_complete_trial_only() -> None:
    values = [("complete", 0.2), ("pruned", 0.9), ("complete", 0.1), ("complete", 0.6)]
    trials = [LeaderboardRow(i, outcome, value) for i, (outcome, value) in enumerate(values)]
    drawing = chart(rank(trials, metric="accuracy", is_maximized=True))
    line = re.search(r'class="best" d="([^"]+)"', drawing)
    assert line is not None
    assert re.findall("[MHV]", line[1]) == ["M", "H", "V", "H"]
    down = chart(rank(trials, metric="loss", is_maximized=False))
    line = re.search(r'class="best" d="([^"]+)"', down)
    assert line is not None
    assert re.findall("[MHV]", line[1]) == ["M", "H", "V", "H"]
    assert drawing.count("<circle") == 4


def test_chart_all_points_lie_inside_even_when_one_diverged() -> None:
    trials = [LeaderboardRow(i, "complete", 0.3 + 0.01 * i) for i in range(9)]
    trials.append(LeaderboardRow(9, "complete", 1e9))
    drawing = chart(rank(trials, metric="loss", is_maximized=False))
    heights = [float(y) for y in re.findall(r'cy="([^"]+)"', drawing)]
    assert all(18 <= y <= 274 for y in heights)
    assert max(heights) - sorted(heights)[1] > 80


@pytest.mark.parametrize("is_maximized", [True, False])
def test_value_range_of_one_value_is_not_empty(is_maximized: bool) -> None:
    for value in (0.0, 0.7, -3.0):
        low, high = value_range([value], is_maximized=is_maximized)
        assert low < value < high


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.805, 0.822, [0.805, 0.81, 0.815, 0.82])],
)
def test_nice_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == ticks


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.805, 0.822, ["0.805", "0.810", "0.815", "0.820"]),
        (1000.0, 1400.0, ["1000", "1100", "1200", "1300", "1400"]),
        (-12.5, 1.0, ["-10", "-5", "0"]),
        (1e-7, 3e-7, ["1e-07", "1.5e-07", "2e-07", "2.5e-07", "3e-07"]),
        (2e12, 3e12, ["2e+12", "2.2e+12", "2.4e+12", "2.6e+12", "2.8e+12", "3e+12"]),
    ],
)
def test_tick_texts_are_told_apart_and_fit_beside_the_axis(
    low: float, high: float, texts: list[str]
) -> None:
    assert tick_texts(nice_ticks(low, high)) == texts


def test_value_range_most_trials_at_the_best_value_still_shows_the_others() -> None:
    low, high = value_range([0.5, 0.8, 1.0, 1.0, 1.0], is_maximized=True)
    assert low < 0.5
    assert 1.0 < high < 1.1


def test_chart_of_errors_in_their_own_unit_names_them_as_the_table_does() -> None:
    trials = [LeaderboardRow(i, "complete", 1234.5 - i) for i in range(3)]
    drawing = chart(rank(trials, metric="mae", is_maximized=False))
    assert "<title>trial 0: 1234.5 (complete)</title>" in drawing
    assert "mae of each trial, and the best so far" in drawing
