"""After which epochs a trial may be stopped."""

import pytest

from runner.study.rungs import Rungs, rungs_of


@pytest.mark.parametrize(
    ("pruner", "first", "epochs", "expected"),
    [
        ("asha", 1, 1, []),
        ("asha", 1, 2, [1]),
        ("asha", 1, 9, [1, 3]),
        ("asha", 1, 10, [1, 3, 9]),
        ("hyperband", 1, 30, [1, 3, 9, 27]),
        ("median", 1, 4, [1, 2, 3]),
        ("none", 1, 30, []),
        ("asha", 2, 20, [2, 6, 18]),
        ("asha", 2, 2, []),
        ("median", 3, 6, [3, 4, 5]),
        ("asha", 2, None, [2, 6, 18, 54]),
        ("median", 2, None, []),
    ],
)
def test_rungs_of_a_trial_are_the_epochs_at_which_it_may_stop(
    pruner: str, first: int, epochs: int | None, expected: list[int]
) -> None:
    assert Rungs(pruner, first).of_a_trial(epochs) == expected


@pytest.mark.parametrize(
    ("after", "epoch", "expected"),
    [(0, 100, [2, 6, 18, 54]), (100, 200, [162]), (200, 300, []), (2, 6, [6]), (6, 7, [])],
)
def test_passed_are_the_rungs_since_the_report_before(
    after: int, epoch: int, expected: list[int]
) -> None:
    assert Rungs("asha", 2).passed(epoch, after=after) == expected


@pytest.mark.parametrize(
    ("grace", "train_examples", "first"),
    [(50, 100, 1), (100, 100, 1), (101, 100, 2), (1000, 64, 16)],
)
def test_first_rung_is_the_first_epoch_that_has_seen_the_grace(
    grace: int, train_examples: int, first: int
) -> None:
    rungs = rungs_of("asha", grace=grace, train_examples=train_examples, longest=90)
    assert rungs == Rungs("asha", first)


@pytest.mark.parametrize(
    ("longest", "first"),
    [(1, 2), (2, 2), (10, 2), (18, 2), (19, 3), (52, 6), (1000, 112), (None, 1)],
)
def test_first_rung_without_a_grace_is_after_a_ninth_of_the_longest_trial_and_two_epochs(
    longest: int | None, first: int
) -> None:
    rungs = rungs_of("median", grace=None, train_examples=100, longest=longest)
    assert rungs == Rungs("median", first)
