"""Which epoch of a trial is its best, and when its patience is over."""

import math

import pytest

from runner.trial.checkpoint import TrainingState
from runner.trial.progress import Goal, is_patience_over, note_best

GOAL = Goal("accuracy", is_higher_better=True)


def after(*epochs: tuple[float, float]) -> TrainingState:
    """The state after epochs with these accuracies and losses."""
    state = TrainingState(0, {}, {}, micro_batch=1)
    for number, (accuracy, loss) in enumerate(epochs, 1):
        state.epoch = number
        note_best(state, {"accuracy": accuracy, "loss": loss}, epoch=number, goal=GOAL)
    return state


@pytest.mark.parametrize(
    ("epochs", "best"),
    [
        ([(0.5, 0.7), (0.8, 0.9), (0.7, 0.1)], 2),
        ([(1.0, 0.60), (1.0, 0.09), (1.0, 0.20)], 2),
        ([(1.0, 0.09), (1.0, 0.09)], 1),
        ([(1.0, math.nan), (1.0, 0.3)], 1),
        ([(math.nan, 0.1), (0.2, 0.3)], 2),
    ],
)
def test_note_best_keeps_the_best_value_and_of_equals_the_lower_loss(epochs, best):
    state = after(*epochs)

    assert state.best_epoch == best
    assert state.best_value == epochs[best - 1][0]


def test_note_best_goes_by_the_direction_of_the_metric():
    state = TrainingState(0, {}, {}, micro_batch=1)
    goal = Goal("mae", is_higher_better=False)

    kept = [
        note_best(state, {"mae": value, "loss": 1.0}, epoch=number, goal=goal)
        for number, value in enumerate([3.0, 2.0, 2.5], 1)
    ]

    assert kept == [True, True, False]
    assert state.best_value == 2.0


def test_patience_is_not_renewed_by_a_lower_loss_alone():
    state = after((0.9, 0.5), (0.9, 0.4), (0.9, 0.3))

    assert state.best_epoch == 3
    assert is_patience_over(state, 2)
    assert not is_patience_over(state, 3)
    assert not is_patience_over(state, None)
