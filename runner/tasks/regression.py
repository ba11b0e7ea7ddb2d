"""A number for each example."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from runner.data import Label
from runner.errors import DataError
from runner.experiment import TaskForm
from runner.tasks.contract import LossSettings, Predictions, Rows
from runner.tasks.evaluation import WORST_MISTAKES, finite_or_null, opening
from runner.tasks.losses import NumberCriterion, chosen_loss

# Enough for a picture of predicted against actual, few enough to keep the JSON small.
POINTS = 2000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NAN = float("nan")


@dataclass(frozen=True)
class RegressionTask:
    """The task of one output that is a number, standardised while it is learnt; see `Task`.

    Attributes:
        mean: Mean of the training labels, in the target's own units.
        std: Their standard deviation, likewise; more than 0.
    """

    form: TaskForm
    mean: float
    std: float

    @classmethod
    def over(cls, form: TaskForm, labels: Sequence[float]) -> "RegressionTask":
        """The task whose scale is that of these training labels.

        Raises:
            DataError: If they are all the same, or too large for a standard deviation.
        """
        values = np.asarray(labels, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = float(values.mean()), float(values.std())
        if std == 0:
            raise DataError(
                f"all {len(values)} training targets are {values[0]:g}: there is nothing to "
                "learn; look at the column of the targets"
            )
        if not (math.isfinite(mean) and math.isfinite(std)):
            raise DataError(
                f"training targets from {values.min():g} to {values.max():g} have no finite "
                "standard deviation; scale or clip them"
            )
        return cls(form, mean=mean, std=std)

    @property
    def classes(self) -> tuple[str, ...]:
        """None: numbers have no classes."""
        return ()

    @property
    def outputs(self) -> int:
        """Size of the head."""
        return 1

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Standard deviations from the training mean, [N] float32."""
        values = np.asarray(cast(Sequence[float], labels), dtype=np.float64)
        return torch.from_numpy((values - self.mean) / self.std).float()

    def criterion(self, settings: LossSettings, *, train_targets: Tensor) -> NumberCriterion:
        """Squared, Huber or absolute error; of no classes, so without weights or smoothing."""
        return NumberCriterion(chosen_loss(settings, self.form), huber_delta=settings.huber_delta)

    def rows(self, outputs: Tensor, targets: Tensor) -> Rows:
        """The batch as it is, outputs as one column."""
        return outputs.reshape(-1, 1), targets, None

    def score(self, predictions: Predictions) -> dict[str, float]:
        """Every metric of the form, over a whole split; NaN for outputs that are not numbers.

        R2 of targets that are all the same is NaN too.

        Source: scikit-learn's definitions, in float64.
        """
        actual, predicted = self._values(predictions)
        if not np.isfinite(predicted).all():
            return dict.fromkeys(self.form.metrics, NAN)
        has_spread = len(actual) > 1 and np.ptp(actual) > 0
        residuals = predicted - actual
        squared = float(residuals @ residuals)
        centred = actual - actual.mean()
        return {
            "mae": float(np.abs(residuals).mean()),
            "rmse": math.sqrt(squared / len(actual)),
            "r2": 1 - squared / float(centred @ centred) if has_spread else NAN,
            "loss": float(np.square(residuals / self.std).mean()),
        }

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Also points [actual, predicted] and quantiles of the residuals, predicted - actual."""
        actual, predicted = self._values(predictions)
        residuals = predicted - actual
        quantiles = (
            np.quantile(residuals, QUANTILES)
            if np.isfinite(residuals).all()
            else np.full(len(QUANTILES), NAN)
        )
        chosen = np.arange(len(actual))
        if len(actual) > POINTS:
            chosen = np.linspace(0, len(actual) - 1, POINTS).round().astype(np.int64)
        return {
            **opening(self.form, self.score(predictions)),
            "points": [
                [self._printed(actual[index]), self._printed(predicted[index])] for index in chosen
            ],
            "residual_quantiles": {
                str(share): finite_or_null(value)
                for share, value in zip(QUANTILES, quantiles, strict=True)
            },
            "worst": self._worst(predictions),
        }

    def quality(self, predictions: Predictions) -> dict[str, float]:
        """Minus the absolute error, in the target's own units."""
        actual, predicted = self._values(predictions)
        return dict(zip(predictions.ids, (-np.abs(predicted - actual)).tolist(), strict=True))

    def facts(self) -> dict[str, Any]:
        """How the output becomes a number: output * std + mean."""
        return {"task": self.form.name, "kind": "number", "mean": self.mean, "std": self.std}

    def _values(self, predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
        """Actual and predicted numbers in the target's own units, [N] float64."""
        actual, predicted = (
            tensor.double().reshape(-1).numpy() * self.std + self.mean
            for tensor in (predictions.targets, predictions.outputs)
        )
        return actual, predicted

    def _printed(self, value: float) -> float | None:
        """Without the digits that the float32 of a standardised number does not have."""
        digits = 5 - math.floor(math.log10(self.std))
        return round(float(value), digits) + 0.0 if math.isfinite(value) else None

    def _worst(self, predictions: Predictions) -> list[dict[str, Any]]:
        """The largest absolute errors."""
        actual, predicted = self._values(predictions)
        errors = np.abs(predicted - actual)
        return [
            {
                "id": predictions.ids[index],
                "true": self._printed(actual[index]),
                "predicted": self._printed(predicted[index]),
                "error": self._printed(errors[index]),
            }
            for index in np.argsort(-errors, kind="stable")[:WORST_MISTAKES].tolist()
            if errors[index] != 0
        ]
