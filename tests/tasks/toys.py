"""A small labelled source for every kind of label, and outputs of any quality for it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from runner.data import Example, Label
from runner.experiment import TASK_FORMS, LabelKind, TaskForm
from runner.tasks import PADDING, Predictions, Task, gather, make_task

FORMS = tuple(form for form in TASK_FORMS.values() if form.labels is not None)
COUNT = 24
CLASSES = {
    LabelKind.CLASS: ("cat", "cow", "dog"),
    LabelKind.CLASSES: ("indoors", "night", "people"),
    LabelKind.NUMBER: (),
    LabelKind.TAGS: ("O", "B-LOC", "B-PER", "I-LOC", "I-PER"),
}
_LABELS: dict[LabelKind, tuple[Label, ...]] = {
    LabelKind.CLASS: (0, 1, 2, 1, 0, 0),
    LabelKind.CLASSES: ((0,), (), (1, 2), (0, 1, 2), (2,), (0, 2)),
    LabelKind.NUMBER: (10.0, 250.0, 30.5, -7.0, 42.0, 90.0),
    LabelKind.TAGS: ((0, 1, 3), (2,), (0, 0, 2, 4, 0), (1, 0), (0, 2, 1), (0, 0)),
}


@dataclass(frozen=True)
class ToySource:
    """Labels without anything that has them."""

    kind: LabelKind
    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    name: str = "toys"
    unreadable: tuple[str, ...] = ()


def toy_source(kind: LabelKind, labels: tuple[Label, ...] = ()) -> ToySource:
    """A source of 24 examples, or of these labels."""
    chosen = labels or _LABELS[kind] * (COUNT // len(_LABELS[kind]))
    examples = tuple(
        Example(f"{index:02d}.txt", label, digest=f"{index:064x}")
        for index, label in enumerate(chosen)
    )
    return ToySource(kind, CLASSES[kind], examples)


def toy_task(form: TaskForm) -> tuple[Task, Tensor, tuple[str, ...]]:
    """A task over the 24 examples, all of them for training; their targets and ids."""
    assert form.labels is not None
    source = toy_source(form.labels)
    task = make_task(form, source, range(COUNT))
    targets = task.encode([example.label for example in source.examples])
    return task, targets, tuple(example.id for example in source.examples)


def perfect_outputs(task: Task, targets: Tensor) -> Tensor:
    """Outputs that are as right and as sure as can be."""
    if task.form.labels is LabelKind.NUMBER:
        return targets.unsqueeze(1).clone()
    if task.form.labels is LabelKind.CLASSES:
        return 100.0 * (targets - 0.5)
    return 100.0 * functional.one_hot(targets.clamp(min=0), task.outputs).float()


def noise(task: Task, targets: Tensor, *, seed: int = 0) -> Tensor:
    """Random outputs of the right shape."""
    shape = perfect_outputs(task, targets).shape
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def predictions_of(
    task: Task, outputs: Tensor, targets: Tensor, ids: tuple[str, ...], *, batch_size: int = 7
) -> Predictions:
    """The outputs gathered in batches, as the training loop does it."""
    batches = []
    for some, wanted in zip(outputs.split(batch_size), targets.split(batch_size), strict=True):
        if task.form.labels is LabelKind.TAGS:
            words = int((wanted != PADDING).sum(dim=1).max())
            some, wanted = some[:, :words], wanted[:, :words]
        batches.append(task.rows(some, wanted))
    return gather(batches, ids)
