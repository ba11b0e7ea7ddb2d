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
from runner.tasks.counting import counts_of_labels
from runner.tasks.evaluation import (
    WORST_MISTAKES,
    each_column,
    finite_or_null,
    mean_of_defined,
    opening,
    per_class_rows,
)
from runner.tasks.losses import LabelsCriterion, balanced_positive_weights, chosen_loss
from runner.tasks.ranking import auroc, average_precision

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
        expected, predicted = _held(predictions), _predicted(predictions)
        counts = counts_of_labels(expected, predicted)
        # Outputs, not probabilities: only their order matters, and a sigmoid rounds.
        ranked = expected.astype(bool), predictions.outputs.numpy()
        return {
            "macro_f1": mean_of_defined(counts.f1(undefined=NAN)),
            "micro_f1": float(counts.pooled().f1(undefined=NAN)[0]),
            "exact_match": float((expected == predicted).all(axis=1).mean()),
            "auroc": mean_of_defined(each_column(auroc, *ranked)),
            "average_precision": mean_of_defined(each_column(average_precision, *ranked)),
            "loss": float(_losses(predictions).mean()),
        }

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Also the results of each label."""
        held, outputs = _held(predictions), predictions.outputs.numpy()
        counts = counts_of_labels(held, _predicted(predictions))
        rows = per_class_rows(self.classes, counts.per_class(undefined=0.0))
        areas = each_column(auroc, held.astype(bool), outputs)
        for row, area in zip(rows, areas, strict=True):
            row["auroc"] = finite_or_null(area)
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
