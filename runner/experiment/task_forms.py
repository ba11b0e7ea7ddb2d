"""The tasks there are: what each takes, how its examples are labelled, what it reports.

The one table that the schema, the checks and the tasks themselves read; imports nothing heavy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

Direction = Literal["maximize", "minimize"]


class Modality(StrEnum):
    """What examples are made of."""

    IMAGE = "image"
    TEXT = "text"


class LabelKind(StrEnum):
    """How an example is labelled.

    CLASS: one class of several; CLASSES: any number of them; NUMBER: a number; TAGS: a class for
    each word.
    """

    CLASS = "class"
    CLASSES = "classes"
    NUMBER = "number"
    TAGS = "tags"


_UP: Direction = "maximize"
_DOWN: Direction = "minimize"

METRICS: Mapping[LabelKind, Mapping[str, Direction]] = MappingProxyType(
    {
        LabelKind.CLASS: {
            "accuracy": _UP,
            "balanced_accuracy": _UP,
            "macro_f1": _UP,
            "weighted_f1": _UP,
            "mcc": _UP,
            "auroc": _UP,
            "loss": _DOWN,
        },
        LabelKind.CLASSES: {
            "macro_f1": _UP,
            "micro_f1": _UP,
            "exact_match": _UP,
            "auroc": _UP,
            "average_precision": _UP,
            "loss": _DOWN,
        },
        LabelKind.NUMBER: {"mae": _DOWN, "rmse": _DOWN, "r2": _UP, "loss": _DOWN},
        LabelKind.TAGS: {
            "f1": _UP,
            "precision": _UP,
            "recall": _UP,
            "macro_f1": _UP,
            "accuracy": _UP,
            "loss": _DOWN,
        },
    }
)
"""Validation metrics of each kind of label, the default to search on first; `loss` is the plain
one: log loss of classes and words, binary cross-entropy of several labels, squared error in
standard deviations of the training targets for numbers."""

LOSSES: Mapping[LabelKind, tuple[str, ...]] = MappingProxyType(
    {
        LabelKind.CLASS: ("cross_entropy", "focal"),
        LabelKind.CLASSES: ("binary_cross_entropy", "focal"),
        LabelKind.NUMBER: ("mse", "huber", "mae"),
        LabelKind.TAGS: ("cross_entropy", "focal"),
    }
)
"""Training losses of each kind of label; `auto` means the first."""


@dataclass(frozen=True)
class TaskForm:
    """One task.

    Attributes:
        name: As `task` in an experiment file has it.
        modality: What its examples are made of; None for an objective of one's own.
        labels: How they are labelled; None likewise.
    """

    name: str
    modality: Modality | None = None
    labels: LabelKind | None = None

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """Validation metrics it reports, and which way each is better; empty if not known."""
        return {} if self.labels is None else METRICS[self.labels]

    @property
    def default_metric(self) -> str | None:
        """The metric it is searched on unless told otherwise."""
        return next(iter(self.metrics), None)

    @property
    def losses(self) -> tuple[str, ...]:
        """Training losses it has; `auto` means the first."""
        return () if self.labels is None else LOSSES[self.labels]


CUSTOM = "custom"
DEFAULT_TASK = "image_classification"
TASK_FORMS: Mapping[str, TaskForm] = MappingProxyType(
    {
        form.name: form
        for form in (
            TaskForm("image_classification", Modality.IMAGE, LabelKind.CLASS),
            TaskForm("image_multilabel", Modality.IMAGE, LabelKind.CLASSES),
            TaskForm("image_regression", Modality.IMAGE, LabelKind.NUMBER),
            TaskForm("text_classification", Modality.TEXT, LabelKind.CLASS),
            TaskForm("text_multilabel", Modality.TEXT, LabelKind.CLASSES),
            TaskForm("text_regression", Modality.TEXT, LabelKind.NUMBER),
            TaskForm("token_classification", Modality.TEXT, LabelKind.TAGS),
            TaskForm(CUSTOM),
        )
    }
)
"""Every task by its name."""
