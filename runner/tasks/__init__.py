"""What is learnt: the losses, metrics and evaluation of each kind of task."""

from runner.tasks.contract import (
    PADDING,
    Criterion,
    LossSettings,
    Predictions,
    Rows,
    Task,
    gather,
)
from runner.tasks.making import make_task
from runner.tasks.stacked import StackedCriterion, stack_criteria

__all__ = [
    "PADDING",
    "Criterion",
    "LossSettings",
    "Predictions",
    "Rows",
    "StackedCriterion",
    "Task",
    "gather",
    "make_task",
    "stack_criteria",
]
