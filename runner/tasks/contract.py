"""What a task is: the loss, the metrics and the evaluation of one kind of learning."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor


class Task(Protocol):
    """One kind of learning, behind which the training loop does not look.

    Attributes:
        metrics: Names of the validation metrics that `score` gives; each can be searched on.
    """

    metrics: ClassVar[tuple[str, ...]]

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        """Mean training loss of a batch, a scalar.

        Args:
            outputs: The model's outputs, shape [B, C].
            targets: Class indices [B], or class probabilities [B, C] (mixup).
            label_smoothing: Share of the target spread evenly over the classes, in [0, 1).
        """
        ...

    def score(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Every metric over a whole split, by name; fractions, not per cent."""
        ...

    def evaluate(self, outputs: Tensor, targets: Tensor, ids: Sequence[str]) -> Mapping[str, Any]:
        """The evaluation as plain JSON values: what the pictures are drawn from.

        Args:
            outputs: The model's outputs over a whole split, shape [N, C].
            targets: Class indices, shape [N].
            ids: The examples' ids, in the same order.
        """
        ...
