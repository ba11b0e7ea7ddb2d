"""The optimisers of `trial/optimizers.py` over stacked parameters, each trial with its own values.

The arithmetic is that of torch's single-tensor implementations, with what is a number there as a
column here. The weight is decayed, the bias is not.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from runner.experiment import Recipe

_BETA2 = 0.999
_EPSILON = 1e-8

Pair = tuple[Tensor, Tensor]
"""Something of the weights [K, C, D], and the same of the biases [K, 1, C]."""


class StackedOptimizer(Protocol):
    """One optimiser for each of K trials."""

    def begin_epoch(self, factors: Tensor) -> None:
        """Prepare an epoch.

        Args:
            factors: On the learning rates, shape [S, K], float64.
        """
        ...

    def step(self, number: int, parameters: Pair, gradients: Pair) -> None:
        """Take one step of the epoch, counted from 0; gradients may be changed too."""
        ...

    def keep(self, kept: Tensor) -> None:
        """Go on with these trials alone, by index, int64 on the device."""
        ...


def stack_optimizers(recipes: Sequence[Recipe], parameters: Pair) -> StackedOptimizer:
    """The optimisers of these recipes, all sgd or none, over parameters as they start."""
    if recipes[0].optimizer == "sgd":
        return _StackedSgd(recipes, parameters)
    return _StackedAdam(recipes, parameters)


class _StackedAdam:
    """Adam and AdamW side by side (Kingma and Ba 2015; Loshchilov and Hutter 2019)."""

    def __init__(self, recipes: Sequence[Recipe], parameters: Pair) -> None:
        is_decoupled = [recipe.optimizer == "adamw" for recipe in recipes]
        decay = [recipe.weight_decay for recipe in recipes]
        pairs = list(zip(decay, is_decoupled, strict=True))
        self._device = parameters[0].device
        self._trials = torch.tensor(
            [
                _base_rates(recipes),
                [recipe.momentum for recipe in recipes],
                [value if decoupled else 0.0 for value, decoupled in pairs],
                [0.0 if decoupled else value for value, decoupled in pairs],
                [0.0] * len(recipes),  # steps taken
            ],
            dtype=torch.float64,
        )
        self._means = _zeros_like(parameters)
        self._squares = _zeros_like(parameters)

    def begin_epoch(self, factors: Tensor) -> None:
        """See `StackedOptimizer`; corrections of the bias are known for the whole epoch."""
        base, momentum, decoupled, coupled, taken = self._trials
        rates = factors * base
        counts = taken + torch.arange(1, len(factors) + 1).unsqueeze(1)
        self._sizes = self._columns(rates / (1 - momentum**counts))
        self._roots = self._columns((1 - _BETA2**counts).sqrt())
        self._shrinking = self._columns(1 - rates * decoupled) if decoupled.any() else None
        self._coupled = self._columns(coupled) if coupled.any() else None
        self._news = self._columns(1 - momentum)
        taken += len(factors)

    def step(self, number: int, parameters: Pair, gradients: Pair) -> None:
        """See `StackedOptimizer`."""
        if self._coupled is not None:
            gradients[0].addcmul_(parameters[0], self._coupled)
        if self._shrinking is not None:
            parameters[0].mul_(self._shrinking[number])
        for parameter, gradient, mean, square in zip(
            parameters, gradients, self._means, self._squares, strict=True
        ):
            mean.lerp_(gradient, self._news)
            square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
            divisor = square.sqrt().div_(self._roots[number]).add_(_EPSILON)
            parameter.sub_(torch.div(mean, divisor, out=divisor).mul_(self._sizes[number]))

    def keep(self, kept: Tensor) -> None:
        """See `StackedOptimizer`."""
        self._trials = self._trials[:, kept.cpu()]
        self._means, self._squares = chosen(self._means, kept), chosen(self._squares, kept)

    def _columns(self, values: Tensor) -> Tensor:
        return _columns(values, self._device)


class _StackedSgd:
    """Stochastic gradient descent, with Nesterov's momentum where there is any."""

    def __init__(self, recipes: Sequence[Recipe], parameters: Pair) -> None:
        self._device = parameters[0].device
        self._trials = torch.tensor(
            [
                _base_rates(recipes),
                [recipe.momentum for recipe in recipes],
                [recipe.weight_decay for recipe in recipes],
            ],
            dtype=torch.float64,
        )
        self._velocities = _zeros_like(parameters)

    def begin_epoch(self, factors: Tensor) -> None:
        """See `StackedOptimizer`."""
        base, momentum, decay = self._trials
        self._rates = self._columns(factors * base)
        self._momentum = self._columns(momentum)
        self._decay = self._columns(decay)

    def step(self, number: int, parameters: Pair, gradients: Pair) -> None:
        """See `StackedOptimizer`."""
        gradients[0].addcmul_(parameters[0], self._decay)
        for parameter, gradient, velocity in zip(
            parameters, gradients, self._velocities, strict=True
        ):
            # From 0, the first velocity is the first gradient; without momentum each one is.
            velocity.mul_(self._momentum).add_(gradient)
            gradient.addcmul_(velocity, self._momentum)
            parameter.sub_(gradient.mul_(self._rates[number]))

    def keep(self, kept: Tensor) -> None:
        """See `StackedOptimizer`."""
        self._trials = self._trials[:, kept.cpu()]
        self._velocities = chosen(self._velocities, kept)

    def _columns(self, values: Tensor) -> Tensor:
        return _columns(values, self._device)


def chosen(pair: Pair, kept: Tensor) -> Pair:
    """Of some trials alone, by index; copies."""
    return pair[0].index_select(0, kept), pair[1].index_select(0, kept)


def _base_rates(recipes: Sequence[Recipe]) -> list[float]:
    return [recipe.head_learning_rate or recipe.learning_rate for recipe in recipes]


def _zeros_like(pair: Pair) -> Pair:
    return torch.zeros_like(pair[0]), torch.zeros_like(pair[1])


def _columns(values: Tensor, device: torch.device) -> Tensor:
    """Numbers [..., K] beside stacked parameters, [..., K, 1, 1] float32."""
    return values.float().to(device)[..., None, None]
