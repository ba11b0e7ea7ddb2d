"""What is learnt: the head's loss, metrics and evaluation of each kind of task."""

from runner.tasks.contract import Task
from runner.tasks.image_classification import ImageClassification

__all__ = ["ImageClassification", "Task"]
