"""Training losses in two sums, totals and weights; see `Criterion`.

What a loss computes here, autograd differentiates: everything is float32, whatever the model's
own number format is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from runner.experiment import TaskForm
from runner.tasks.contract import PADDING, LossSettings, targets_beside

# In place of a 0 that would be divided by, or that the focal loss would raise to a power whose
# gradient is infinite there: the smallest normal float32, which changes no other value.
TINY = torch.finfo(torch.float32).tiny


def chosen_loss(settings: LossSettings, form: TaskForm) -> str:
    """The loss that is meant, `auto` resolved.

    Raises:
        ValueError: If the form has no such loss.
    """
    if settings.loss == "auto":
        return form.losses[0]
    if settings.loss not in form.losses:
        raise ValueError(f"{form.name} has no loss {settings.loss!r}: {', '.join(form.losses)}")
    return settings.loss


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """A weight for each class, n / (k * count) of n targets in k classes that occur.

    A class that does not occur weighs nothing. Source: scikit-learn's `compute_class_weight`.

    Args:
        targets: Class indices of any shape; padded words do not count.
    Shapes: [classes], float32.
    """
    counts = torch.bincount(targets[targets != PADDING], minlength=classes).double()
    occurring = counts > 0
    weights = counts.sum() / (occurring.sum() * counts)
    return torch.where(occurring, weights, 0.0).float()


def balanced_positive_weights(targets: Tensor) -> Tensor:
    """A weight for the positives of each label, so that they weigh as much as its negatives.

    A label that holds always or never weighs 1. Source: `pos_weight` of torch's
    `binary_cross_entropy_with_logits`.

    Shapes: targets [N, C] of 0 and 1; result [C], float32.
    """
    positives = targets.double().sum(dim=0)
    negatives = len(targets) - positives
    return torch.where((positives > 0) & (negatives > 0), negatives / positives, 1.0).float()


@dataclass
class ClassCriterion:
    """Cross-entropy or focal loss of one class of several, for an example or for each word.

    With class weights it is torch's weighted mean. Of probabilities as targets torch divides by
    the number of rows, whatever their classes weigh; here a row weighs what its classes weigh, as
    with indices.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, section 3, with softmax in
    place of the sigmoid; for targets that are spread over classes, the sum over the classes of
    -target * (1 - p)^gamma * log(p).

    Attributes:
        label_smoothing: Share of the target spread evenly over the classes, in [0, 1).
        focal_gamma: Exponent of the focal loss; 0 is cross-entropy.
        weights: A weight for each class, [C], or None for all the same.
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    weights: Tensor | None = None

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Criterion.total`; outputs [B, C], or [B, W, C] with targets [B, W] or wider."""
        scores, wanted = outputs.float(), targets
        if scores.ndim == 3:
            wanted = targets_beside(scores, targets).reshape(-1)
            scores = scores.flatten(0, 1)
        weights = self._weights_beside(scores)
        if self.focal_gamma == 0:
            return functional.cross_entropy(
                scores,
                wanted,
                weight=weights,
                ignore_index=PADDING,
                label_smoothing=self.label_smoothing,
                reduction="sum",
            )
        log_p = scores.log_softmax(dim=1)
        missing = (-torch.expm1(log_p)).clamp(min=TINY)
        losses = -self._spread(wanted, scores.shape[1]) * missing**self.focal_gamma * log_p
        return (losses if weights is None else losses * weights).sum()

    def weight(self, targets: Tensor) -> Tensor:
        """See `Criterion.weight`; of words that are all padded, a trace instead of 0."""
        weights = self._weights_beside(targets)
        if targets.is_floating_point():
            if weights is None:
                return torch.full((), float(len(targets)), device=targets.device)
            return (targets.float() @ weights).sum()
        is_there = targets != PADDING
        if weights is None:
            return is_there.sum().float().clamp(min=TINY)
        return (weights[targets.clamp(min=0)] * is_there).sum().clamp(min=TINY)

    def _weights_beside(self, tensor: Tensor) -> Tensor | None:
        if self.weights is not None:
            self.weights = self.weights.to(tensor.device)
        return self.weights

    def _spread(self, targets: Tensor, classes: int) -> Tensor:
        """Targets as smoothed probabilities, [R, C]; all 0 for a padded word."""
        smoothing = self.label_smoothing
        if targets.is_floating_point():
            return targets.float() * (1 - smoothing) + smoothing / classes
        hot = functional.one_hot(targets.clamp(min=0), classes).float()
        is_there = (targets != PADDING).unsqueeze(1)
        return (hot * (1 - smoothing) + smoothing / classes) * is_there


@dataclass
class LabelsCriterion:
    """Binary cross-entropy or focal loss of each label, of several that may hold at once.

    Divided by the number of labels, held or not, a held one counting its positive weight.

    Source: Lin et al. 2017, section 3, with smoothed targets as in `ClassCriterion`.

    Attributes:
        label_smoothing: Share of each target moved to one half, in [0, 1).
        focal_gamma: Exponent of the focal loss; 0 is binary cross-entropy.
        positive_weights: Weight of each label's positives, [C], or None for 1.
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    positive_weights: Tensor | None = None

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Criterion.total`; both [B, C]."""
        scores = outputs.float()
        wanted = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        weights = self._weights_beside(scores)
        if self.focal_gamma == 0:
            return functional.binary_cross_entropy_with_logits(
                scores, wanted, pos_weight=weights, reduction="sum"
            )
        held = wanted if weights is None else wanted * weights
        hits = self._modulated(scores)
        misses = self._modulated(-scores)
        return (held * hits + (1 - wanted) * misses).sum()

    def weight(self, targets: Tensor) -> Tensor:
        """See `Criterion.weight`."""
        weights = self._weights_beside(targets)
        if weights is None:
            return torch.full((), float(targets.numel()), device=targets.device)
        return (targets.float() * weights + (1 - targets.float())).sum()

    def _modulated(self, scores: Tensor) -> Tensor:
        """-(1 - p)^gamma * log(p) for p the sigmoid of the scores."""
        missing = torch.sigmoid(-scores).clamp(min=TINY)
        return missing**self.focal_gamma * functional.softplus(-scores)

    def _weights_beside(self, tensor: Tensor) -> Tensor | None:
        if self.positive_weights is not None:
            self.positive_weights = self.positive_weights.to(tensor.device)
        return self.positive_weights


@dataclass(frozen=True)
class NumberCriterion:
    """Squared, Huber or absolute error of standardised numbers.

    Attributes:
        loss: `mse`, `huber` or `mae`.
        huber_delta: Where huber turns from square to linear, in standard deviations.
    """

    loss: str = "mse"
    huber_delta: float = 1.0

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Criterion.total`; outputs [B] or [B, 1], targets [B]."""
        scores, wanted = outputs.float().reshape(targets.shape), targets.float()
        if self.loss == "huber":
            return functional.huber_loss(scores, wanted, delta=self.huber_delta, reduction="sum")
        if self.loss == "mae":
            return functional.l1_loss(scores, wanted, reduction="sum")
        return functional.mse_loss(scores, wanted, reduction="sum")

    def weight(self, targets: Tensor) -> Tensor:
        """See `Criterion.weight`."""
        return torch.full((), float(len(targets)), device=targets.device)
