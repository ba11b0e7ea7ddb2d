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
from runner.tasks.evaluation import (
    WORST_MISTAKES,
    each_column,
    finite_or_null,
    mean_of_defined,
    opening,
    per_class_rows,
)
from runner.tasks.losses import ClassCriterion, balanced_weights, chosen_loss


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
        # Late: it takes longer to import than anything here takes to compute.
        from sklearn import metrics

        outputs, targets = predictions.outputs, predictions.targets
        predicted, expected = outputs.argmax(dim=1).numpy(), targets.numpy()
        labels = list(range(self.outputs))
        occurring = np.unique(expected)
        f1 = {
            average: float(
                metrics.f1_score(
                    expected, predicted, labels=labels, average=average, zero_division=0
                )
            )
            for average in ("macro", "weighted")
        }
        return {
            "accuracy": float(metrics.accuracy_score(expected, predicted)),
            # The recall averaged over the classes that occur; scikit-learn's own function of
            # that name warns when a predicted class does not.
            "balanced_accuracy": float(
                metrics.recall_score(
                    expected, predicted, labels=occurring, average="macro", zero_division=0
                )
            ),
            "macro_f1": f1["macro"],
            "weighted_f1": f1["weighted"],
            "mcc": _mcc(expected, predicted),
            "auroc": _auroc(expected, outputs),
            "loss": float(functional.cross_entropy(outputs, targets)),
        }

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Also the confusion matrix (rows: true class) and the results of each class."""
        from sklearn import metrics

        predicted = predictions.outputs.argmax(dim=1).numpy()
        expected, labels = predictions.targets.numpy(), list(range(self.outputs))
        results = metrics.precision_recall_fscore_support(
            expected, predicted, labels=labels, zero_division=0
        )
        return {
            **opening(self.form, self.score(predictions)),
            "classes": list(self.classes),
            "confusion": metrics.confusion_matrix(expected, predicted, labels=labels).tolist(),
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


def _mcc(expected: np.ndarray, predicted: np.ndarray) -> float:
    """Matthews' correlation; NaN where only one class occurs, 0 where only one is predicted."""
    from sklearn.metrics import matthews_corrcoef

    if len(np.unique(expected)) < 2:
        return float("nan")
    return float(matthews_corrcoef(expected, predicted))


def _auroc(expected: np.ndarray, outputs: Tensor) -> float:
    """Area under the ROC curve, of several classes each against the rest, averaged.

    Over the classes that occur; NaN where fewer than two do, or an output is not a number.
    """
    from sklearn.metrics import roc_auc_score

    # Only the order matters, and logarithms keep it where probabilities round to 1.
    log_p = outputs.double().log_softmax(dim=1).numpy()
    first = 1 if log_p.shape[1] == 2 else 0
    held = expected[:, None] == np.arange(log_p.shape[1])[None, :]
    return mean_of_defined(each_column(roc_auc_score, held[:, first:], log_p[:, first:]))
