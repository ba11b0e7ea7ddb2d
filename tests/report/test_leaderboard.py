"""Ranking, columns, and the forms a leaderboard takes."""

import csv
import io
import json
import math

import pytest
from rich.console import Console

from runner.report import (
    Leaderboard,
    LeaderboardRow,
    duration_text,
    leaderboard_csv,
    leaderboard_records,
    leaderboard_table,
    leaderboard_text,
    rank,
    value_text,
)

ROWS = [
    LeaderboardRow(0, "complete", 0.71, 5, 4, 61.0, {"lr": 0.01, "batch": 16, "wd": 0.1}, "aa"),
    LeaderboardRow(1, "failed", None, 1, None, 3, {"lr": 1.0, "batch": 16, "wd": 0.1}, "b", "NaN"),
    LeaderboardRow(2, "pruned", 0.95, 2, 2, 9.0, {"lr": 0.02, "batch": 16, "wd": 0.1}, "cc"),
    LeaderboardRow(3, "complete", 0.82, 5, 5, 60.0, {"lr": 0.03, "batch": 16, "wd": 0.1}, "dd"),
    LeaderboardRow(4, "running", 0.4, 1, 1, 5.0, {"lr": 0.04, "batch": 16, "wd": 0.1}, "ee"),
]  # fmt: skip


@pytest.fixture
def board() -> Leaderboard:
    return rank(ROWS, metric="accuracy", is_maximized=True)


def test_rank_complete_first_by_value_then_running_pruned_and_the_rest(
    board: Leaderboard,
) -> None:
    assert [row.number for row in board.rows] == [3, 0, 4, 2, 1]
    assert board.best == ROWS[3]


def test_rank_minimized_reverses_values_only() -> None:
    board = rank(ROWS, metric="loss", is_maximized=False)
    assert [row.number for row in board.rows] == [0, 3, 4, 2, 1]


def test_rank_value_that_is_not_finite_never_wins() -> None:
    rows = [LeaderboardRow(0, "complete", math.nan), LeaderboardRow(1, "complete", 0.1)]
    assert [row.number for row in rank(rows, metric="m", is_maximized=True).rows] == [1, 0]
    only = rank(rows[:1], metric="m", is_maximized=True)
    assert only.best is None


def test_rank_nothing_complete_has_no_best() -> None:
    assert rank(ROWS[1:3], metric="accuracy", is_maximized=True).best is None
    assert rank([], metric="accuracy", is_maximized=True).best is None


def test_rank_only_varying_parameters_get_columns(board: Leaderboard) -> None:
    assert board.varying == ("lr",)
    assert board.fixed == {"batch": 16, "wd": 0.1}


def test_rank_parameter_missing_somewhere_varies_and_lists_are_compared() -> None:
    rows = [
        LeaderboardRow(0, "complete", params={"momentum": 0.9, "channels": [1, 2]}),
        LeaderboardRow(1, "complete", params={"channels": [1, 2]}),
    ]
    board = rank(rows, metric="m", is_maximized=True)
    assert board.varying == ("momentum",)
    assert board.fixed == {"channels": [1, 2]}


def test_leaderboard_text_is_aligned_and_says_what_is_fixed(board: Leaderboard) -> None:
    assert leaderboard_text(board, limit=3).splitlines() == [
        "same in every trial: batch=16, wd=0.1",
        "trial  outcome   accuracy  best epoch  time        lr    note",
        "3      complete  0.8200    5/5         1 min 00 s  0.03",
        "0      complete  0.7100    4/5         1 min 01 s  0.01",
        "4      running   0.4000    1/1         5.0 s       0.04",
        "... and 2 more",
    ]


def test_leaderboard_text_of_no_trials_is_its_headings() -> None:
    empty = rank([], metric="accuracy", is_maximized=True)
    assert leaderboard_text(empty) == "trial  outcome  accuracy  best epoch  time"


def test_leaderboard_table_fits_a_narrow_terminal_and_shows_the_best(
    board: Leaderboard,
) -> None:
    screen = Console(width=80, record=True, file=io.StringIO())
    screen.print(leaderboard_table(board))
    lines = screen.export_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].strip() == "same in every trial: batch=16, wd=0.1"
    assert lines[2].split() == ["3", "complete", "0.8200", "5/5", "1", "min", "00", "s", "0.03"]
    assert lines[-1].split()[-1] == "NaN"


def test_leaderboard_table_text_is_not_markup() -> None:
    rows = [LeaderboardRow(0, "failed", note="[bold]x[/] in [0, 1]", params={"a[b]": "[red]"})]
    rows.append(LeaderboardRow(1, "failed", params={"a[b]": "[/]"}))
    screen = Console(width=100, record=True, file=io.StringIO())
    screen.print(leaderboard_table(rank(rows, metric="m", is_maximized=True)))
    text = screen.export_text()
    assert "[bold]x[/] in [0, 1]" in text
    assert "a[b]" in text
    assert "[red]" in text


def test_leaderboard_records_are_strict_json_with_ranks(board: Leaderboard) -> None:
    worse = rank(
        [LeaderboardRow(7, "complete", math.inf, params={"lr": math.nan}), *ROWS],
        metric="accuracy",
        is_maximized=True,
    )
    records = json.loads(json.dumps(leaderboard_records(worse), allow_nan=False))
    assert [record["rank"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert records[0] == {
        "rank": 1,
        "number": 3,
        "outcome": "complete",
        "value": 0.82,
        "epochs": 5,
        "best_epoch": 5,
        "duration_s": 60.0,
        "params": {"lr": 0.03, "batch": 16, "wd": 0.1},
        "run_id": "dd",
        "note": "",
    }
    odd = next(record for record in records if record["number"] == 7)
    assert (odd["value"], odd["params"]) == (None, {"lr": None})


def test_leaderboard_csv_has_all_parameters_and_no_formulas() -> None:
    rows = [*ROWS, LeaderboardRow(9, "failed", note='=cmd("x"), and a comma')]
    text = leaderboard_csv(rank(rows, metric="accuracy", is_maximized=True))
    records = list(csv.DictReader(io.StringIO(text)))
    assert [record["number"] for record in records] == ["3", "0", "4", "2", "1", "9"]
    assert records[0]["params.lr"] == "0.03"
    assert records[0]["params.batch"] == "16"
    assert records[-1]["params.lr"] == ""
    assert records[-1]["note"] == '\'=cmd("x"), and a comma'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (3725, "1 h 02 min"),
    ],
)
def test_duration_text_uses_two_units(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.5, "0.5000"),
        (0, "0.0000"),
        (0.00012, "0.00012"),
        (-3.25, "-3.2500"),
        (45.123456, "45.123"),
        (1234.5, "1234.5"),
        (123456.7, "123457"),
        (123456789, "1.235e+08"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_value_text_keeps_the_digits_that_matter(value: float | None, text: str) -> None:
    assert value_text(value) == text
