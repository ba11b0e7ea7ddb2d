"""Which keys a task's trials may set, and to what: those of the recipe that it has, or any."""

import math
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from runner.errors import nearest_spelling
from runner.experiment.marks import Flaw
from runner.experiment.recipe import Recipe
from runner.experiment.recipe_fields import flaw_of_value
from runner.experiment.scalars import Scalar
from runner.experiment.task_forms import TASK_FORMS, LabelKind, Modality, TaskForm

_IMAGE, _TEXT = {Modality.IMAGE}, {Modality.TEXT}
_CLASS, _TAGS = LabelKind.CLASS, LabelKind.TAGS
# Keys that only some tasks have: the modalities, and the kinds of label, that have them.
_MODALITIES = {
    "augmentation": _IMAGE,
    "channels_last": _IMAGE,
    "drop_path": _IMAGE,
    "mixup": _IMAGE,
    "views": _IMAGE,
    "max_length": _TEXT,
}
_LABELS = {
    "mixup": {_CLASS},
    "label_smoothing": {_CLASS, _TAGS},
    "focal_gamma": {_CLASS, LabelKind.CLASSES, _TAGS},
    "huber_delta": {LabelKind.NUMBER},
    "class_weights": {_CLASS, LabelKind.CLASSES, _TAGS},
    "sampling": {_CLASS},
}
# What MLflow takes for the name of a parameter; it looks at the name as at a path, too.
_MLFLOW_NAME = re.compile(r"[/\w.\- :]+")
_NOT_FOR_MLFLOW = (
    "cannot be a parameter in MLflow, whose names have letters, digits, spaces and `_-.:/`"
)
# A value that changes nothing is welcome anywhere: one space then serves several tasks.
_OFF: Mapping[str, Scalar] = {"augmentation": "none"}


@dataclass(frozen=True)
class TaskKeys:
    """The keys that a trial of one task may set.

    Attributes:
        form: The task; None where the experiment names none that exists: then any key is right.
    """

    form: TaskForm | None

    @cached_property
    def names(self) -> tuple[str, ...] | None:
        """The keys; None where any name will do."""
        if self.is_free:
            return None
        return tuple(name for name in Recipe.model_fields if self._has(name))

    @property
    def is_free(self) -> bool:
        """Whether the task is an objective of one's own, which reads what keys it likes."""
        return self.form is not None and self.form.labels is None

    def name_flaw(self, name: str) -> tuple[str, str | None] | None:
        """Why there is no such key, and the nearest one; None if there is."""
        if self.is_free:
            return None if _is_name_of_mlflow(name) else (_NOT_FOR_MLFLOW, None)
        if name in Recipe.model_fields:
            return None
        listed = ", ".join(self.names or ())
        near = nearest_spelling(name, self.names or ())
        return f"is not a key of `train`; the space may vary {listed}", near

    def value_flaw(self, name: str, value: object) -> Flaw | None:
        """Why a key cannot have a value, its path empty; None if it can."""
        if self.is_free:
            return _free_flaw(name, value)
        return flaw_of_value(name, value) or self.task_flaw(name, value)

    def defaults(self) -> dict[str, Scalar]:
        """The values of keys that nothing sets."""
        return {} if self.is_free else Recipe().model_dump()

    def applied(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The values of those keys that the task has."""
        names = self.names
        return {name: v for name, v in values.items() if names is None or name in names}

    def task_flaw(self, name: str, value: object) -> Flaw | None:
        """Why a value that the recipe may have is wrong for this task; None if it is not."""
        if self.form is None or self.is_free:
            return None
        if not self._has(name):
            default = Recipe.model_fields[name].default
            if value in (default, _OFF.get(name, default)):
                return None
            having = [form.name for form in TASK_FORMS.values() if TaskKeys(form)._has(name)]
            rule = f"{name} means nothing for {self.form.name}; only for "
            return Flaw((), rule + ", ".join(n for n in having if n != "custom"), value)
        if name == "loss" and value not in ("auto", *self.form.losses):
            allowed = ("auto", *self.form.losses)
            rule = f"loss must be {' or '.join(allowed)} for {self.form.name}"
            return Flaw((), rule, value, nearest_spelling(str(value), allowed))
        return None

    def _has(self, name: str) -> bool:
        if self.form is None or self.form.modality is None or self.form.labels is None:
            return True
        is_of_modality = self.form.modality in _MODALITIES.get(name, {self.form.modality})
        return is_of_modality and self.form.labels in _LABELS.get(name, {self.form.labels})


def _is_name_of_mlflow(name: str) -> bool:
    is_path = posixpath.normpath(name) == name and not name.startswith("..") and name != "."
    return is_path and _MLFLOW_NAME.fullmatch(name) is not None


def keys_of(task: object) -> TaskKeys:
    """The keys of the task of that name, whatever was written there."""
    return TaskKeys(TASK_FORMS.get(task) if isinstance(task, str) else None)


def _free_flaw(name: str, value: object) -> Flaw | None:
    """Any scalar that JSON can hold will do for an objective of one's own."""
    if isinstance(value, float) and not math.isfinite(value):
        return Flaw((), f"{name} must be a finite number", value)
    if value is None or isinstance(value, bool | int | float | str):
        return None
    return Flaw((), f"{name} must be a number, text, true, false or null", value)
