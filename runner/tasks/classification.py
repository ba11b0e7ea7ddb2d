"""One class of several for each example."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from runner.data import Label
from runner.experiment import TaskForm
from runner.tasks.contract import LossSettings, Predictions, Rows
from runner.tasks.counting import confusion_counts, correlation, counts_of_confusion
from runner.tasks.evaluation import (
    WORST_MISTAKES,
    each_column,
    finite_or_null,
    mean_of_defined,
    opening,
    per_class_rows,
)
from runner.tasks.losses import ClassCriterion, balanced_weights, chosen_loss
from runner.tasks.ranking import auroc


@dataclass(frozen=True)
class ClassificationTask:
    """The task of a softmax head over `classes`; see `Task`."""

    form: TaskForm
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Size of the head."""
        return len(self.classes)

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Class indices, [N] int64."""
        return torch.tensor(cast(Sequence[int], labels), dtype=torch.int64)

    def criterion(self, settings: LossSettings, *, train_targets: Tensor) -> ClassCriterion:
        """Cross-entropy or focal loss."""
        return softmax_criterion(
            settings, self.form, train_targets=train_targets, classes=self.outputs
        )

    def rows(self, outputs: Tensor, targets: Tensor) -> Rows:
        """The batch as it is."""
        return outputs, targets, None

    def score(self, predictions: Predictions) -> dict[str, float]:
        """Every metric of the form, over a whole split.

        Source: scikit-learn's definitions; the loss is cross-entropy without label smoothing.
        """
        outputs, targets = predictions.outputs, predictions.targets
        counts = counts_of_confusion(self._confusion(predictions))
        f1 = counts.f1(undefined=0.0)
        return {
            "accuracy": float(counts.hits.sum() / counts.meant.sum()),
            # Over the classes that occur.
            "balanced_accuracy": float(counts.recall(undefined=0.0)[counts.meant > 0].mean()),
            "macro_f1": float(f1.mean()),
            "weighted_f1": float(f1 @ counts.meant / counts.meant.sum()),
            "mcc": correlation(counts),
            "auroc": _auroc(targets.numpy(), outputs),
            "loss": float(functional.cross_entropy(outputs, targets)),
        }

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Also the confusion matrix (rows: true class) and the results of each class."""
        confusion = self._confusion(predictions)
        results = counts_of_confusion(confusion).per_class(undefined=0.0)
        return {
            **opening(self.form, self.score(predictions)),
            "classes": list(self.classes),
            "confusion": confusion.tolist(),
            "per_class": per_class_rows(self.classes, results),
            "worst": self._worst(predictions),
        }

    def quality(self, predictions: Predictions) -> dict[str, float]:
        """1 for a right class, 0 for a wrong one."""
        is_right = (predictions.outputs.argmax(dim=1) == predictions.targets).double()
        return dict(zip(predictions.ids, is_right.tolist(), strict=True))

    def facts(self) -> dict[str, Any]:
        """The classes, in the order of the outputs."""
        return {"task": self.form.name, "kind": "class", "classes": list(self.classes)}

    def _confusion(self, predictions: Predictions) -> np.ndarray:
        predicted = predictions.outputs.argmax(dim=1).numpy()
        return confusion_counts(predictions.targets.numpy(), predicted, self.outputs)

    def _worst(self, predictions: Predictions) -> list[dict[str, Any]]:
        """Wrong classes, the surest first."""
        confidence, predicted = predictions.outputs.softmax(dim=1).max(dim=1)
        wrong = torch.nonzero(predicted != predictions.targets).flatten()
        order = wrong[torch.argsort(confidence[wrong], descending=True, stable=True)]
        return [
            {
                "id": predictions.ids[index],
                "true": self.classes[int(predictions.targets[index])],
                "predicted": self.classes[int(predicted[index])],
                "probability": finite_or_null(float(confidence[index])),
            }
            for index in order[:WORST_MISTAKES].tolist()
        ]


def softmax_criterion(
    settings: LossSettings, form: TaskForm, *, train_targets: Tensor, classes: int
) -> ClassCriterion:
    """Cross-entropy or focal loss over class indices, of examples or of words.

    Raises:
        ValueError: If the form has no such loss.
    """
    is_focal = chosen_loss(settings, form) == "focal"
    is_balanced = settings.class_weights == "balanced"
    return ClassCriterion(
        label_smoothing=settings.label_smoothing,
        focal_gamma=settings.focal_gamma if is_focal else 0.0,
        weights=balanced_weights(train_targets, classes) if is_balanced else None,
    )


def _auroc(expected: np.ndarray, outputs: Tensor) -> float:
    """Area under the ROC curve, of several classes each against the rest, averaged.

    Over the classes that occur; NaN where fewer than two do, or an output is not a number.
    """
    # Only the order matters, and logarithms keep it where probabilities round to 1.
    log_p = outputs.double().log_softmax(dim=1).numpy()
    first = 1 if log_p.shape[1] == 2 else 0
    held = expected[:, None] == np.arange(log_p.shape[1])[None, :]
    return mean_of_defined(each_column(auroc, held[:, first:], log_p[:, first:]))
