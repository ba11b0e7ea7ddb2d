"""What is learnt: the losses, metrics and evaluation of each kind of task."""

from runner.tasks.contract import (
    PADDING,
    Criterion,
    Label,
    LossSettings,
    Predictions,
    Rows,
    Task,
    gather,
)
from runner.tasks.image_classification import ImageClassification

__all__ = [
    "PADDING",
    "Criterion",
    "ImageClassification",
    "Label",
    "LossSettings",
    "Predictions",
    "Rows",
    "Task",
    "gather",
]
