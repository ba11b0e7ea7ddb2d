"""Image classification: one class of several for each image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    recall_score,
)
from torch import Tensor
from torch.nn import functional

# Enough for the picture of worst mistakes, few enough to keep the JSON small.
WORST_MISTAKES = 16


@dataclass(frozen=True)
class ImageClassification:
    """The task of a softmax head over `classes`."""

    classes: tuple[str, ...]
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy", "macro_f1", "loss")

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        """Cross-entropy; see `Task.loss`."""
        return functional.cross_entropy(outputs.float(), targets, label_smoothing=label_smoothing)

    def score(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Accuracy, balanced accuracy, macro F1 and cross-entropy over a whole split.

        Source: scikit-learn's definitions; the loss without label smoothing.
        """
        predicted, expected = outputs.argmax(dim=1).numpy(), targets.numpy()
        labels = list(range(len(self.classes)))
        # Balanced accuracy is the recall averaged over the classes that occur; scikit-learn's
        # own function of that name warns when a predicted class does not.
        occurring = sorted(set(expected.tolist()))
        return {
            "accuracy": float(accuracy_score(expected, predicted)),
            "balanced_accuracy": float(
                recall_score(
                    expected, predicted, labels=occurring, average="macro", zero_division=0
                )
            ),
            "macro_f1": float(
                f1_score(expected, predicted, labels=labels, average="macro", zero_division=0)
            ),
            "loss": float(functional.cross_entropy(outputs.float(), targets)),
        }

    def evaluate(self, outputs: Tensor, targets: Tensor, ids: Sequence[str]) -> dict[str, Any]:
        """Confusion matrix (rows: true class), per-class results and the worst mistakes."""
        predicted = outputs.argmax(dim=1)
        labels = list(range(len(self.classes)))
        precision, recall, f1, support = precision_recall_fscore_support(
            targets.numpy(), predicted.numpy(), labels=labels, zero_division=0
        )
        return {
            "classes": list(self.classes),
            "metrics": self.score(outputs, targets),
            "confusion": confusion_matrix(
                targets.numpy(), predicted.numpy(), labels=labels
            ).tolist(),
            "per_class": [
                {
                    "label": name,
                    "precision": float(precision[index]),
                    "recall": float(recall[index]),
                    "f1": float(f1[index]),
                    "support": int(support[index]),
                }
                for index, name in enumerate(self.classes)
            ],
            "worst": self._worst(outputs, targets, ids),
        }

    def _worst(self, outputs: Tensor, targets: Tensor, ids: Sequence[str]) -> list[dict[str, Any]]:
        probabilities = outputs.float().softmax(dim=1)
        confidence, predicted = probabilities.max(dim=1)
        wrong = torch.nonzero(predicted != targets).flatten()
        order = wrong[torch.argsort(confidence[wrong], descending=True, stable=True)]
        return [
            {
                "id": ids[index],
                "true": self.classes[int(targets[index])],
                "predicted": self.classes[int(predicted[index])],
                "probability": float(confidence[index]),
            }
            for index in order[:WORST_MISTAKES].tolist()
        ]
