"""Any number of labels for each example."""

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
from runner.tasks.losses import LabelsCriterion, balanced_positive_weights, chosen_loss

NAN = float("nan")


@dataclass(frozen=True)
class MultilabelTask:
    """The task of one sigmoid for each of `classes`; see `Task`.

    A label is predicted where its probability is one half or more.
    """

    form: TaskForm
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Size of the head."""
        return len(self.classes)

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """1 for each label that holds, [N, C] float32."""
        targets = torch.zeros(len(labels), self.outputs)
        for row, held in enumerate(cast(Sequence[tuple[int, ...]], labels)):
            targets[row, list(held)] = 1.0
        return targets

    def criterion(self, settings: LossSettings, *, train_targets: Tensor) -> LabelsCriterion:
        """Binary cross-entropy or focal loss of each label."""
        is_focal = chosen_loss(settings, self.form) == "focal"
        is_balanced = settings.class_weights == "balanced"
        return LabelsCriterion(
            label_smoothing=settings.label_smoothing,
            focal_gamma=settings.focal_gamma if is_focal else 0.0,
            positive_weights=balanced_positive_weights(train_targets) if is_balanced else None,
        )

    def rows(self, outputs: Tensor, targets: Tensor) -> Rows:
        """The batch as it is."""
        return outputs, targets, None

    def score(self, predictions: Predictions) -> dict[str, float]:
        """Every metric of the form, over a whole split.

        Macro F1 is over the labels that occur or are predicted; AUROC and average precision are
        over those that hold for some examples and not for others.

        Source: scikit-learn's definitions; the loss is the mean over examples and labels.
        """
        from sklearn import metrics

        expected, predicted = _held(predictions), _predicted(predictions)
        # Outputs, not probabilities: only their order matters, and a sigmoid rounds.
        ranked = expected.astype(bool), predictions.outputs.numpy()
        return {
            "macro_f1": mean_of_defined(self._per_label(predictions, zero_division=NAN)[2]),
            # Micro: every pair of an example and a label is one decision.
            "micro_f1": float(
                metrics.f1_score(expected.ravel(), predicted.ravel(), zero_division=NAN)
            ),
            "exact_match": float(metrics.accuracy_score(expected, predicted)),
            "auroc": mean_of_defined(each_column(metrics.roc_auc_score, *ranked)),
            "average_precision": mean_of_defined(
                each_column(metrics.average_precision_score, *ranked)
            ),
            "loss": float(_losses(predictions).mean()),
        }

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Also the results of each label."""
        from sklearn.metrics import roc_auc_score

        rows = per_class_rows(self.classes, self._per_label(predictions, zero_division=0.0))
        held, outputs = _held(predictions).astype(bool), predictions.outputs.numpy()
        for row, auroc in zip(rows, each_column(roc_auc_score, held, outputs), strict=True):
            row["auroc"] = finite_or_null(auroc)
        return {
            **opening(self.form, self.score(predictions)),
            "classes": list(self.classes),
            "per_class": rows,
            "worst": self._worst(predictions),
        }

    def quality(self, predictions: Predictions) -> dict[str, float]:
        """Share of the labels that are right."""
        right = (_held(predictions) == _predicted(predictions)).mean(axis=1)
        return dict(zip(predictions.ids, right.tolist(), strict=True))

    def facts(self) -> dict[str, Any]:
        """The labels, in the order of the outputs."""
        return {"task": self.form.name, "kind": "classes", "classes": list(self.classes)}

    def _per_label(
        self, predictions: Predictions, *, zero_division: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Precision, recall, F1 and support of each label."""
        from sklearn.metrics import precision_recall_fscore_support

        expected, predicted = _held(predictions), _predicted(predictions)
        labels = list(range(self.outputs))
        if self.outputs == 1:
            # One column is read as two classes, of which the second is the label.
            expected, predicted, labels = expected.ravel(), predicted.ravel(), [1]
        results: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] = (
            precision_recall_fscore_support(
                expected, predicted, labels=labels, zero_division=zero_division
            )
        )
        return results

    def _worst(self, predictions: Predictions) -> list[dict[str, Any]]:
        """Examples with the most wrong labels; of equals, that with the larger loss first."""
        expected, predicted = _held(predictions), _predicted(predictions)
        wrong = (expected != predicted).sum(axis=1)
        order = np.lexsort((-_losses(predictions).sum(axis=1), -wrong))
        return [
            {
                "id": predictions.ids[index],
                "true": self._names(expected[index]),
                "predicted": self._names(predicted[index]),
                "error": int(wrong[index]),
            }
            for index in order[:WORST_MISTAKES].tolist()
            if wrong[index]
        ]

    def _names(self, held: np.ndarray) -> list[str]:
        return [self.classes[index] for index in np.flatnonzero(held)]


def _held(predictions: Predictions) -> np.ndarray:
    return (predictions.targets.numpy() > 0.5).astype(np.int64)


def _predicted(predictions: Predictions) -> np.ndarray:
    return (predictions.outputs.numpy() >= 0).astype(np.int64)


def _losses(predictions: Predictions) -> np.ndarray:
    """Binary cross-entropy of every label of every example, [N, C] float64."""
    losses: np.ndarray = functional.binary_cross_entropy_with_logits(
        predictions.outputs.double(), predictions.targets.double(), reduction="none"
    ).numpy()
    return losses
