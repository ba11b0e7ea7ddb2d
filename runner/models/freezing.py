"""Frozen layer groups: they do not train and they do not change."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from runner.models.groups import LayerGroups


def freeze(model: nn.Module, groups: LayerGroups, *, depth: int) -> None:
    """Freezes the first `depth` groups and thaws all others; the head always trains.

    Of a model with adapters only those thaw: the weights beside them never do.

    Frozen means: no gradient, and evaluation mode for every module inside (batch-norm statistics
    fixed, no dropout, no stochastic depth), so the prefix is a function of the example and the
    weights alone.

    Args:
        model: Changed in place; modules of thawed groups keep their mode.
        groups: Of this model, or of one built alike.
        depth: How many groups, counted from the input, in [0, groups.count].
    Raises:
        ValueError: If the model has fewer groups.
    """
    frozen = {*groups.frozen_parameters(groups.depth(depth)), *groups.fixed}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
        if name in frozen:
            parameter.grad = None
    keep_frozen_in_eval(model, groups, depth=depth)


def keep_frozen_in_eval(model: nn.Module, groups: LayerGroups, *, depth: int) -> None:
    """Puts the modules of frozen groups back into evaluation mode; call it after model.train()."""
    for name in groups.frozen_modules(depth):
        # Not .eval(): a container may hold a module that belongs to the head.
        model.get_submodule(name).training = False
    fixed = set(groups.fixed)
    for name, module in model.named_modules():
        # Statistics are part of the weights that adapters leave as they are.
        if isinstance(module, _BatchNorm) and f"{name}.weight" in fixed:
            module.training = False
