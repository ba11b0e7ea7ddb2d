"""What a task is: the labels, the losses, the metrics and the evaluation of one kind of learning.

The training loop and the promotion see a task through this alone. A task knows nothing of images
or texts, only of a head's outputs and of labels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from runner.data import Label
from runner.experiment import TaskForm

PADDING = -100
"""The target of a word that is not there: sentences of a batch have different lengths. The value
is torch's own default of what cross-entropy leaves out."""


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """What a recipe asks of the training loss.

    Attributes:
        loss: One of the form's losses, or `auto` for the first of them.
        label_smoothing: Share of the target spread evenly, in [0, 1). Numbers have none.
        focal_gamma: How much the focal loss plays down easy examples.
        huber_delta: Where huber turns linear, in standard deviations of the training targets.
        class_weights: `none`, or `balanced`: rare classes weigh more. Numbers have none.
    """

    loss: str = "auto"
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    huber_delta: float = 1.0
    class_weights: str = "none"


class Criterion(Protocol):
    """A training loss in two sums, so that the pieces of a batch add up exactly.

    The loss of a batch is `total(outputs, targets) / weight(targets)`; of a batch in pieces, the
    sum of the pieces' totals over the weight of the whole.
    """

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Weighted losses added up, a float32 scalar with a gradient.

        Args:
            outputs: The model's, of any floating dtype; computed in float32.
            targets: As `Task.encode` gives them. Of classes also probabilities [B, C] (mixup);
                several labels and numbers may be mixed likewise. Padded words do not count.
        """
        ...

    def weight(self, targets: Tensor) -> Tensor:
        """What `total` is to be divided by, a float32 scalar, more than 0."""
        ...


@dataclass(frozen=True)
class Predictions:
    """A model's outputs over a whole split, on the CPU.

    Attributes:
        outputs: Shape [R, C], float32.
        targets: [R] int64 (class, tags), [R, C] float32 (classes) or [R] float32 (number).
        ids: The N examples' ids.
        lengths: Rows of each example, shape [N] int64 (tags); None where each has one.
    """

    outputs: Tensor
    targets: Tensor
    ids: tuple[str, ...]
    lengths: Tensor | None = None


Rows = tuple[Tensor, Tensor, Tensor | None]
"""Outputs [R, C], their targets, and the rows of each example [B] or None where each has one."""


class Task(Protocol):
    """One kind of learning, behind which nothing else looks.

    Attributes:
        form: Its entry in the table of tasks.
        classes: Class, label or tag names; empty for numbers.
        outputs: Size of the model's head.
    """

    @property
    def form(self) -> TaskForm: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> int: ...

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Labels as targets.

        Returns:
            class: indices, [N] int64. classes: 0 or 1, [N, C] float32. number: in standard
            deviations from the mean of the training labels, [N] float32. tags: indices, [N, W]
            int64, W words of the longest, the others padded with `PADDING`.
        """
        ...

    def criterion(self, settings: LossSettings, *, train_targets: Tensor) -> Criterion:
        """The training loss.

        Args:
            train_targets: Targets of the whole training part: what class weights count.
        Raises:
            ValueError: If the form has no such loss.
        """
        ...

    def rows(self, outputs: Tensor, targets: Tensor) -> Rows:
        """One evaluation batch as rows for `gather`: of tags the words that are there."""
        ...

    def score(self, predictions: Predictions) -> dict[str, float]:
        """Every metric of the form, in its order; NaN for one that the split does not define."""
        ...

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """The evaluation as plain JSON values, what is not finite as null.

        Common keys: task, kind, metrics, worst.
        """
        ...

    def quality(self, predictions: Predictions) -> dict[str, float]:
        """How good each example's prediction is, by id; higher is better.

        class: 1 right, 0 wrong. classes: share of labels right. number: minus the absolute error
        in the target's units. tags: share of words right.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """What whoever serves the model must know, as plain JSON values."""
        ...


def gather(batches: Iterable[Rows], ids: Sequence[str]) -> Predictions:
    """Batches, as `Task.rows` gives them, as the predictions of a split.

    Args:
        batches: One or more, on any device and of any floating dtype.
        ids: The examples' ids in the order of the batches.
    Raises:
        ValueError: If the batches do not hold as many examples as there are ids.
    """
    outputs, targets, lengths = zip(*batches, strict=True)
    counted = [length for length in lengths if length is not None]
    predictions = Predictions(
        outputs=torch.cat(outputs).detach().float().cpu(),
        targets=torch.cat(targets).detach().cpu(),
        ids=tuple(ids),
        lengths=torch.cat(counted).cpu() if counted else None,
    )
    rows = predictions.targets if predictions.lengths is None else predictions.lengths
    if len(rows) != len(ids):
        raise ValueError(f"{len(ids)} ids for predictions of {len(rows)} examples")
    return predictions


def targets_beside(outputs: Tensor, targets: Tensor) -> Tensor:
    """Targets [B, V] of words cut to the W words that outputs [B, W, C] are of.

    The longest sentence of a batch may be shorter than the longest of all.

    Raises:
        ValueError: If a word that is there would be cut.
    """
    words = outputs.shape[1]
    if words != targets.shape[1] and not bool((targets[:, words:] == PADDING).all()):
        raise ValueError(f"outputs for {words} words, but targets for {targets.shape[1]}")
    return targets[:, :words]
