"""The training losses of several trials at once, each with settings of its own.

The same sums as each trial's own criterion gives (`losses.py`), to floating-point noise. One row
is one example; words are not stacked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from runner.tasks.contract import Criterion
from runner.tasks.losses import TINY, ClassCriterion, LabelsCriterion, NumberCriterion


class StackedCriterion(Protocol):
    """The training losses of K trials, each over a batch of its own."""

    def sums(
        self, outputs: Tensor, targets: Tensor, *, is_there: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Each trial's `Criterion.total`, with a gradient, and its `Criterion.weight`.

        Args:
            outputs: Shape [K, B, C], of any floating dtype; computed in float32.
            targets: As `Task.encode` gives them, shape [K, B, ...].
            is_there: Which rows count, shape [K, B], boolean; None for all.
        Returns:
            Two tensors [K], float32.
        """
        ...


def stack_criteria(criteria: Sequence[Criterion], *, device: torch.device) -> StackedCriterion:
    """The losses of one trial after another; those that are not known here are called in turn."""
    kinds = {(type(each), getattr(each, "loss", None)) for each in criteria}
    stack = _STACKS.get(type(criteria[0])) if len(kinds) == 1 else None
    return _InTurn(criteria) if stack is None else stack(criteria, device)


@dataclass(frozen=True)
class _InTurn:
    criteria: Sequence[Criterion]

    def sums(
        self, outputs: Tensor, targets: Tensor, *, is_there: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        totals, weights = [], []
        for index, criterion in enumerate(self.criteria):
            rows = slice(None) if is_there is None else is_there[index]
            totals.append(criterion.total(outputs[index][rows], targets[index][rows]))
            weights.append(criterion.weight(targets[index][rows]))
        return torch.stack(totals), torch.stack(weights)


@dataclass(frozen=True)
class _Classes:
    """`ClassCriterion` of each trial.

    Attributes:
        smoothing: Shape [K, 1, 1], or None where no trial smooths and none is focal.
        gamma: Shape [K, 1, 1], or None where no trial is focal.
        weights: Shape [K, 1, C], or None where no trial weighs classes.
    """

    smoothing: Tensor | None
    gamma: Tensor | None
    weights: Tensor | None

    @classmethod
    def of(cls, criteria: Sequence[Criterion], device: torch.device) -> "_Classes":
        each = cast(Sequence[ClassCriterion], criteria)
        is_focal = any(one.focal_gamma for one in each)
        is_spread = is_focal or any(one.label_smoothing for one in each)
        return cls(
            _column([one.label_smoothing for one in each], device) if is_spread else None,
            _column([one.focal_gamma for one in each], device) if is_focal else None,
            _weights([one.weights for one in each], device),
        )

    def sums(
        self, outputs: Tensor, targets: Tensor, *, is_there: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        log_p = outputs.float().log_softmax(dim=2)
        index = targets.unsqueeze(2)
        weighed = None
        if self.weights is not None:
            weighed = self.weights.expand_as(log_p).gather(2, index).squeeze(2)
        if self.smoothing is None:
            losses = -log_p.gather(2, index).squeeze(2)
            losses = losses if weighed is None else losses * weighed
        else:
            losses = self._spread_losses(log_p, index, self.smoothing)
        weights = torch.ones_like(losses) if weighed is None else weighed
        total, weight = _summed(losses, weights.detach(), is_there)
        return total, weight.clamp(min=TINY)

    def _spread_losses(self, log_p: Tensor, index: Tensor, smoothing: Tensor) -> Tensor:
        hot = torch.zeros_like(log_p).scatter(2, index, 1.0)
        shares = hot * (1 - smoothing) + smoothing / log_p.shape[2]
        if self.weights is not None:
            shares = shares * self.weights
        if self.gamma is not None:
            shares = shares * (-torch.expm1(log_p)).clamp(min=TINY) ** self.gamma
        return -(shares * log_p).sum(dim=2)


@dataclass(frozen=True)
class _Labels:
    """`LabelsCriterion` of each trial; shapes as in `_Classes`."""

    smoothing: Tensor
    gamma: Tensor | None
    positive_weights: Tensor | None

    @classmethod
    def of(cls, criteria: Sequence[Criterion], device: torch.device) -> "_Labels":
        each = cast(Sequence[LabelsCriterion], criteria)
        is_focal = any(one.focal_gamma for one in each)
        return cls(
            _column([one.label_smoothing for one in each], device),
            _column([one.focal_gamma for one in each], device) if is_focal else None,
            _weights([one.positive_weights for one in each], device),
        )

    def sums(
        self, outputs: Tensor, targets: Tensor, *, is_there: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        held = targets.float()
        wanted = held * (1 - self.smoothing) + self.smoothing / 2
        counted = held
        hits = wanted
        if self.positive_weights is not None:
            counted, hits = held * self.positive_weights, wanted * self.positive_weights
        scores = outputs.float()
        losses = hits * self._of_hit(scores) + (1 - wanted) * self._of_hit(-scores)
        return _summed(losses.sum(dim=2), (counted + 1 - held).sum(dim=2), is_there)

    def _of_hit(self, scores: Tensor) -> Tensor:
        """Loss of a label that holds, -(1 - p)^gamma * log(p)."""
        losses = functional.softplus(-scores)
        if self.gamma is None:
            return losses
        return torch.sigmoid(-scores).clamp(min=TINY) ** self.gamma * losses


@dataclass(frozen=True)
class _Numbers:
    """`NumberCriterion` of each trial, all of one loss.

    Attributes:
        delta: Where huber turns linear, shape [K, 1].
    """

    loss: str
    delta: Tensor

    @classmethod
    def of(cls, criteria: Sequence[Criterion], device: torch.device) -> "_Numbers":
        each = cast(Sequence[NumberCriterion], criteria)
        return cls(each[0].loss, _column([one.huber_delta for one in each], device).squeeze(2))

    def sums(
        self, outputs: Tensor, targets: Tensor, *, is_there: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        errors = outputs.float().reshape(targets.shape) - targets.float()
        sizes = errors.abs()
        losses = sizes if self.loss == "mae" else errors.square()
        if self.loss == "huber":
            linear = self.delta * (sizes - self.delta / 2)
            losses = torch.where(sizes <= self.delta, losses / 2, linear)
        return _summed(losses, torch.ones_like(losses).detach(), is_there)


_STACKS: dict[type, Callable[[Sequence[Criterion], torch.device], StackedCriterion]] = {
    ClassCriterion: _Classes.of,
    LabelsCriterion: _Labels.of,
    NumberCriterion: _Numbers.of,
}


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    """One number for each trial, [K, 1, 1] float32."""
    return torch.tensor(values, dtype=torch.float32, device=device).reshape(-1, 1, 1)


def _weights(weights: Sequence[Tensor | None], device: torch.device) -> Tensor | None:
    """Weights of classes for each trial, [K, 1, C]; 1 where a trial has none."""
    given = next((each for each in weights if each is not None), None)
    if given is None:
        return None
    ones = torch.ones_like(given)
    rows = torch.stack([ones if each is None else each.to(given.device) for each in weights])
    return rows.unsqueeze(1).to(device)


def _summed(losses: Tensor, weights: Tensor, is_there: Tensor | None) -> tuple[Tensor, Tensor]:
    if is_there is not None:
        losses, weights = losses * is_there, weights * is_there
    return losses.sum(dim=1), weights.sum(dim=1)
