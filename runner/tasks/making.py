"""The task of an experiment, over the labels of its data."""

from collections.abc import Sequence
from typing import cast

from runner.data import Labelled
from runner.experiment import LabelKind, TaskForm
from runner.tasks.classification import ClassificationTask
from runner.tasks.contract import Task
from runner.tasks.multilabel import MultilabelTask
from runner.tasks.regression import RegressionTask
from runner.tasks.tagging import TaggingTask


def make_task(form: TaskForm, source: Labelled, train_positions: Sequence[int]) -> Task:
    """The task of that form over the source's labels.

    Args:
        train_positions: The training part, whose labels give a number its scale; nothing else of
            the source's examples is looked at.
    Raises:
        DataError: If the training targets of a regression have no spread.
        ValueError: If the source's labels are of another kind than the form's.
    """
    if source.kind is not form.labels:
        raise ValueError(f"{form.name} learns {form.labels}, {source.name} has {source.kind}")
    if form.labels is LabelKind.NUMBER:
        labels = [source.examples[position].label for position in train_positions]
        return RegressionTask.over(form, cast(list[float], labels))
    if form.labels is LabelKind.CLASSES:
        return MultilabelTask(form, source.classes)
    if form.labels is LabelKind.TAGS:
        return TaggingTask(form, source.classes)
    return ClassificationTask(form, source.classes)
