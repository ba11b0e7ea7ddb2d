"""Stacked optimisers against torch's own, one trial at a time, over random gradients."""

import pytest
import torch
from torch import Tensor, nn

from runner.experiment import Recipe
from runner.trial.fused.optimizers import chosen, stack_optimizers
from runner.trial.optimizers import OptimizerSettings, build_optimizer, set_learning_rates

_ADAMS = [
    Recipe(optimizer="adamw", weight_decay=0.3, learning_rate=0.1),
    Recipe(optimizer="adam", weight_decay=0.2, momentum=0.0, learning_rate=0.02),
    Recipe(optimizer="adamw", weight_decay=0.0, momentum=0.3, head_learning_rate=0.05),
]
_SGDS = [
    Recipe(optimizer="sgd", learning_rate=0.1, weight_decay=0.1),
    Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.0),
    Recipe(optimizer="sgd", head_learning_rate=0.01, momentum=0.5),
]
_EPOCHS, _STEPS = 3, 4


def _alone(recipe: Recipe, start: nn.Linear, factors: Tensor, gradients: Tensor) -> nn.Linear:
    """A layer after torch's own optimiser has seen these gradients of weight and bias."""
    settings = OptimizerSettings(
        recipe.optimizer,
        recipe.learning_rate,
        recipe.head_learning_rate,
        1.0,
        recipe.weight_decay,
        recipe.momentum,
    )
    optimizer = build_optimizer(start, {"weight": 0, "bias": 0}, head_group=0, settings=settings)
    for factor, gradient in zip(factors.tolist(), gradients, strict=True):
        set_learning_rates(optimizer, factor)
        start.weight.grad, start.bias.grad = gradient[:, :-1].clone(), gradient[:, -1].clone()
        optimizer.step()
    return start


@pytest.mark.parametrize("recipes", [_ADAMS, _SGDS], ids=["adam", "sgd"])
def test_stacked_optimizer_equals_torchs_own_also_after_one_has_left(
    recipes: list[Recipe],
) -> None:
    random = torch.Generator().manual_seed(1)
    layers = [nn.Linear(5, 2) for _ in recipes]
    parameters = (
        torch.stack([layer.weight.detach().clone() for layer in layers]),
        torch.stack([layer.bias.detach().clone() for layer in layers]).unsqueeze(1),
    )
    factors = torch.rand(_EPOCHS * _STEPS, len(recipes), generator=random, dtype=torch.float64)
    gradients = torch.randn(_EPOCHS * _STEPS, len(recipes), 2, 6, generator=random)

    stacked = stack_optimizers(recipes, parameters)
    left = torch.arange(len(recipes))
    for epoch in range(_EPOCHS):
        if epoch == 1:
            left = torch.tensor([0, 2])
            stacked.keep(left)
            parameters = chosen(parameters, left)
        steps = slice(epoch * _STEPS, (epoch + 1) * _STEPS)
        stacked.begin_epoch(factors[steps][:, left])
        for number, given in enumerate(gradients[steps][:, left]):
            pair = given[:, :, :-1].clone(), given[:, :, -1].unsqueeze(1).clone()
            stacked.step(number, parameters, pair)

    for place, trial in enumerate(left.tolist()):
        layer = _alone(recipes[trial], layers[trial], factors[:, trial], gradients[:, trial])
        torch.testing.assert_close(parameters[0][place], layer.weight.detach())
        torch.testing.assert_close(parameters[1][place, 0], layer.bias.detach())
