"""Optimisers, and the learning rate and weight decay of each parameter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from runner.experiment import Recipe


@dataclass(frozen=True)
class OptimizerSettings:
    """Plain values an optimiser is built from; see the recipe's keys of the same names."""

    optimizer: str
    learning_rate: float
    head_learning_rate: float | None
    layer_decay: float
    weight_decay: float
    momentum: float


def optimizer_settings(recipe: Recipe) -> OptimizerSettings:
    """What a recipe asks of the optimiser."""
    return OptimizerSettings(
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        head_learning_rate=recipe.head_learning_rate,
        layer_decay=recipe.layer_decay,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
    )


def build_optimizer(
    model: nn.Module,
    groups: Mapping[str, int],
    *,
    head_group: int,
    settings: OptimizerSettings,
    is_fused: bool = False,
) -> Optimizer:
    """An optimiser over all parameters, each group with its own `base_lr`.

    Args:
        model: The model, frozen parameters included: those never get a gradient, and an
            optimiser skips parameters without one, so thawing needs no rebuilding.
        groups: Layer-group index of each parameter by name, counted from the input.
        head_group: The head's index.
        settings: Rates. Layer decay multiplies the rate once per group away from the head
            (ELECTRA, Clark et al. 2020, appendix); one-dimensional parameters (biases, norms)
            get no weight decay.
        is_fused: Whether a step is one kernel for all parameters; for GPUs.
    """
    param_groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        rate = _rate_of(groups[name], head_group, settings)
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        group = param_groups.setdefault(
            (rate, decay),
            {"params": [], "lr": rate, "base_lr": rate, "weight_decay": decay},
        )
        group["params"].append((name, parameter))
    return _construct(list(param_groups.values()), settings, fused=is_fused)


def _rate_of(group: int, head_group: int, settings: OptimizerSettings) -> float:
    if group == head_group:
        return settings.head_learning_rate or settings.learning_rate
    return settings.learning_rate * settings.layer_decay ** (head_group - group)


def _construct(
    param_groups: list[dict[str, Any]], settings: OptimizerSettings, *, fused: bool
) -> Optimizer:
    # None leaves torch its own choice.
    kernel = True if fused else None
    if settings.optimizer == "adamw":
        return AdamW(param_groups, betas=(settings.momentum, 0.999), fused=kernel)
    if settings.optimizer == "adam":
        return Adam(param_groups, betas=(settings.momentum, 0.999), fused=kernel)
    if settings.optimizer == "sgd":
        is_nesterov = settings.momentum > 0
        return SGD(param_groups, momentum=settings.momentum, nesterov=is_nesterov, fused=kernel)
    raise ValueError(f"no optimiser named {settings.optimizer!r}: adamw, adam or sgd")


def inherit_moments(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Take over what another optimiser has gathered of each parameter, but none of its settings.

    Args:
        optimizer: Of the same kind, over parameters of the same names; grouped by its own rates.
        state: The other one's state dict.
    """
    theirs = [name for group in state["param_groups"] for name in group["param_names"]]
    moments = {theirs[index]: each for index, each in state["state"].items()}
    own = optimizer.state_dict()
    mine = [name for group in own["param_groups"] for name in group["param_names"]]
    own["state"] = {i: moments[name] for i, name in enumerate(mine) if name in moments}
    optimizer.load_state_dict(own)


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Set every group's rate to its base rate times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
