"""Lengths of time."""

import pytest

from runner.experiment import duration_s


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1h 30m", 5400),
        (45, 45),
        (0.5, 0.5),
    ],
)
def test_duration_s_of_a_duration_is_its_seconds(written: str | float, seconds: float) -> None:
    assert duration_s(written) == seconds


@pytest.mark.parametrize("written", ["", "10", "m", "10x", "1m1h", "-5s", "1e3s", "١s", "1:30"])
def test_duration_s_of_other_text_is_refused_with_the_forms(written: str) -> None:
    with pytest.raises(ValueError, match="such as 90s, 10m, 2h, 1d or 1h30m"):
        duration_s(written)


@pytest.mark.parametrize(
    "written",
    [0, -1, "0s", "366d", float("nan"), float("inf"), 10**400],
    ids=lambda value: str(value)[:6],
)
def test_duration_s_out_of_range_is_refused_with_the_range(written: str | float) -> None:
    with pytest.raises(ValueError, match="above zero and at most 365d"):
        duration_s(written)
