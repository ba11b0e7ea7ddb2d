"""Trials and time over all commands of a study."""

import pytest

from runner.study.budget import Budget


@pytest.mark.parametrize(
    ("trials", "begun", "allowed"), [(3, 2, True), (3, 3, False), (None, 10**6, True)]
)
def test_allows_as_many_trials_as_were_asked_for(
    trials: int | None, begun: int, allowed: bool
) -> None:
    assert Budget(trials, None).allows(begun) is allowed


def test_time_of_earlier_commands_counts() -> None:
    assert not Budget(None, 10.0, used_before_s=9.0).is_time_up
    used_up = Budget(None, 10.0, used_before_s=10.0)
    assert used_up.is_time_up
    assert not used_up.allows(0)
    assert used_up.used_s >= 10.0


def test_without_a_limit_time_is_never_up() -> None:
    assert not Budget(5, None, used_before_s=1e9).is_time_up
