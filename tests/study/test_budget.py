"""Trials and time over all commands of a study."""

import sys

import pytest

from runner.study.budget import Budget


@pytest.mark.parametrize(
    ("trials", "asked", "room"), [(3, 2, 1), (3, 3, 0), (3, 5, 0), (None, 10**6, sys.maxsize)]
)
def test_room_is_what_the_budget_of_trials_leaves(
    trials: int | None, asked: int, room: int
) -> None:
    assert Budget(trials, None).room(asked) == room


def test_time_of_earlier_commands_counts() -> None:
    assert not Budget(None, 10.0, used_before_s=9.0).is_time_up
    used_up = Budget(None, 10.0, used_before_s=10.0)
    assert used_up.is_time_up
    assert used_up.room(0) == 0
    assert used_up.used_s >= 10.0


def test_without_a_limit_time_is_never_up() -> None:
    assert not Budget(5, None, used_before_s=1e9).is_time_up
