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
from runner.tasks.counting import (
    Counts,
    confusion_counts,
    correlation,
    counts_of_pairs,
    most_confused,
)
from runner.tasks.evaluation import (
    WORST_MISTAKES,
    finite_or_null,
    mean_of_defined,
    opening,
    per_class_rows,
)
from runner.tasks.losses import ClassCriterion, balanced_weights, chosen_loss
from runner.tasks.ranking import auroc

MOST_CLASSES_OF_A_MATRIX = 200
"""Of more classes than this an evaluation lists pairs that are confused: at ten thousand the
matrix would be a hundred million numbers, nearly all of them 0."""
_MOST_CONFUSED = 1000  # pairs listed of so many classes
_BLOCK = 2**22  # outputs that are looked at as float64 at once, 32 MiB


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
        counts = self._counts(predictions)
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
        """Also the results of each class, and which classes are taken for which.

        That is `confusion`, the matrix (rows: true class), or of more than
        `MOST_CLASSES_OF_A_MATRIX` classes `most_confused`, the most frequent mistakes.
        """
        results = self._counts(predictions).per_class(undefined=0.0)
        return {
            **opening(self.form, self.score(predictions)),
            "classes": list(self.classes),
            **self._confusion(predictions),
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

    def _counts(self, predictions: Predictions) -> Counts:
        return counts_of_pairs(*_pairs(predictions), self.outputs)

    def _confusion(self, predictions: Predictions) -> dict[str, Any]:
        pairs = _pairs(predictions)
        if self.outputs <= MOST_CLASSES_OF_A_MATRIX:
            return {"confusion": confusion_counts(*pairs, self.outputs).tolist()}
        return {
            "most_confused": [
                {"true": self.classes[true], "predicted": self.classes[wrong], "count": count}
                for true, wrong, count in most_confused(
                    *pairs, self.outputs, at_most=_MOST_CONFUSED
                )
            ]
        }

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
    classes = outputs.shape[1]
    areas: list[float] = []
    top, log_sum = _log_norms(outputs)
    width = max(1, _BLOCK // max(1, len(expected)))
    for start in range(1 if classes == 2 else 0, classes, width):
        # Only the order matters, and logarithms keep it where probabilities round to 1.
        log_p = outputs[:, start : start + width].double() - top - log_sum
        if not bool(log_p.isfinite().all()):
            return float("nan")
        for place, scores in enumerate(log_p.T.contiguous().numpy(), start):
            held = expected == place
            if held.any() and not held.all():
                areas.append(auroc(held, scores))
    return mean_of_defined(np.array(areas))


def _pairs(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class of each example."""
    return predictions.targets.numpy(), predictions.outputs.argmax(dim=1).numpy()


def _log_norms(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """What log_softmax takes from each row: its largest output, and the logarithm of a sum.

    Without a second tensor of all outputs.

    Returns:
        Two tensors [N, 1], float64.
    """
    tops, log_sums = [], []
    for part in torch.split(outputs, max(1, _BLOCK // outputs.shape[1])):
        rows = part.double()
        tops.append(rows.max(dim=1, keepdim=True).values)
        log_sums.append((rows - tops[-1]).exp().sum(dim=1, keepdim=True).log())
    return torch.cat(tops), torch.cat(log_sums)
