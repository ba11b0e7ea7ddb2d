"""Tables in the terminal."""

from pathlib import Path

from runner.report import study_table
from runner.report.listing import aligned
from runner.study import StudySummary


def summary(best: float | None) -> StudySummary:
    return StudySummary("ages:1", Path("x"), False, False, 3, 2, best, 1.25)


def test_study_table_values_keep_their_unit():
    table = study_table([summary(1234.5), summary(0.5), summary(None)]).splitlines()

    assert table == [
        "study   state  trials  complete  best    MB",
        "ages:1         3       2         1234.5  1.2",
        "ages:1         3       2         0.5000  1.2",
        "ages:1         3       2                 1.2",
    ]


def test_study_table_of_none_says_how_to_begin():
    assert study_table([]).startswith("no studies yet; ")


def test_aligned_counts_wide_characters_as_two():
    assert aligned([("坏的", "x"), ("good", "y")]).splitlines() == ["坏的  x", "good  y"]
