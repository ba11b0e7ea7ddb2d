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
from runner.tasks.image_classification import ImageClassification
from runner.tasks.making import make_task

__all__ = [
    "PADDING",
    "Criterion",
    "ImageClassification",
    "LossSettings",
    "Predictions",
    "Rows",
    "Task",
    "gather",
    "make_task",
]
