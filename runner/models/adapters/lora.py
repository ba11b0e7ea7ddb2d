"""Low-rank adapters put into a model."""

import logging
from dataclasses import replace

import torch
from torch import nn

from runner.errors import TrialFailed
from runner.models.adapters.targets import adapter_layers, adapter_problem
from runner.models.freezing import freeze
from runner.models.groups import LayerGroups, module_groups

_log = logging.getLogger(__name__)
_BASE = ".base_layer"
# What peft puts before the names of an adapter's own tensors.
ADAPTER_MARK = ".lora_"


def apply_lora(
    model: nn.Module,
    groups: LayerGroups,
    *,
    depth: int,
    rank: int,
    alpha: float,
    dropout: float,
    targets: str,
    seed: int,
) -> tuple[nn.Module, LayerGroups]:
    """Puts adapters beside the weights of the groups that are not frozen; the weights stay.

    Only the adapters and the head train. The outputs are at first those of the model without
    adapters. The caller's random state stays as it was.

    Args:
        model: Of timm or transformers; changed in place.
        groups: Its layer groups.
        depth: How many groups, counted from the input, get no adapters and stay frozen.
        rank: Of the adapters.
        alpha: Their output counts alpha / rank times.
        dropout: Before the adapters, as a probability.
        targets: `attention` or `linear`.
        seed: Of the adapters' first values.
    Returns:
        The model, and its layer groups now: an adapter belongs to the group of its layer.
    Raises:
        TrialFailed: If the model has no such layers; `adapter_problems` finds it earlier.
    """
    problem = adapter_problem(model, targets, name=type(model).__name__)
    if problem is not None:
        raise TrialFailed(f"lora_targets = {targets}: {problem}")
    index = groups.group_index_by_parameter()
    layers = adapter_layers(model, targets)
    chosen = [layer for layer in layers if index[f"{layer}.weight"] >= depth]
    if chosen:
        _inject(model, chosen, rank=rank, alpha=alpha, dropout=dropout, seed=seed)
    else:
        _log.warning("freeze depth %d leaves no layer for adapters: the head trains alone", depth)
    adapted = _adapted_groups(model, groups)
    freeze(model, adapted, depth=depth)
    return model, adapted


def _inject(
    model: nn.Module, layers: list[str], *, rank: int, alpha: float, dropout: float, seed: int
) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    # Written as an int, but only ever divided by the rank.
    scale: int = alpha  # type: ignore[assignment]
    config = LoraConfig(r=rank, lora_alpha=scale, lora_dropout=dropout, target_modules=layers)
    was_training = model.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    model.train(was_training)


def base_name(name: str) -> str:
    """The name that a parameter of an adapted model has, or whose layer it is beside, without."""
    layer, mark, _ = name.partition(ADAPTER_MARK)
    return f"{layer}.weight" if mark else name.replace(f"{_BASE}.", ".")


def is_adapter(name: str) -> bool:
    """Whether a parameter is an adapter's own."""
    return ADAPTER_MARK in name


def _adapted_groups(model: nn.Module, groups: LayerGroups) -> LayerGroups:
    index = groups.group_index_by_parameter()
    names: list[list[str]] = [[] for _ in groups.names]
    fixed = []
    for name, _ in model.named_parameters():
        group = index[base_name(name)]
        if group == groups.count:
            continue
        names[group].append(name)
        if not is_adapter(name):
            fixed.append(name)
    grouped = tuple(tuple(each) for each in names)
    return replace(
        groups,
        names=grouped,
        group_of_module=module_groups(model, grouped, groups.head),
        fixed=tuple(fixed),
    )
