"""Which layers of a model can carry an adapter."""

from collections.abc import Collection
from contextlib import nullcontext

import torch
from torch import nn
from torch.func import functional_call

from runner.models.checks import ModelProblem
from runner.models.dry_run import CANNOT_RUN, evaluating, stand_ins
from runner.models.groups import head_of, image_shape_of
from runner.models.text.head import is_text_model

ATTENTION = "attention"
LINEAR = "linear"
_KEY = "train.lora_targets"
# What libraries call attention in the names of their modules.
_ATTENTION_NAMES = ("attention", "attn")


def adapter_layers(model: nn.Module, targets: str) -> tuple[str, ...]:
    """Names of the linear layers outside the head that get adapters, in the model's order.

    Args:
        model: Of timm or transformers, without adapters.
        targets: `attention`: the projections of its attention; `linear`: all.
    """
    head = set(head_of(model))
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and f"{name}.weight" not in head
    ]
    return tuple(name for name in linear if targets == LINEAR or _is_attention(name))


def adapter_problems(
    model: nn.Module, targets: Collection[str], *, name: str
) -> list[ModelProblem]:
    """Why a model cannot carry the adapters that some trial may ask for; also on the meta device.

    Args:
        model: Of timm or transformers, without adapters.
        targets: Which of `attention` and `linear` some trial may use.
        name: What messages call the model.
    """
    rules = {each: adapter_problem(model, each, name=name) for each in targets}
    return [ModelProblem(_KEY, rule, each) for each, rule in rules.items() if rule is not None]


def adapter_problem(model: nn.Module, targets: str, *, name: str) -> str | None:
    """Why a model cannot carry adapters at these layers, and what can be done; None if it can."""
    layers = adapter_layers(model, targets)
    if not layers:
        return _why_none(model, targets, name)
    called = _called_layers(model)
    passed_by = [layer for layer in layers if called is not None and layer not in called]
    if not passed_by:
        return None
    return (
        f"{name} computes with the weights of {passed_by[0]} itself, without calling the layer: "
        f"adapters there ({len(passed_by)} layers) would do nothing; set train.adapter to none"
    )


def _why_none(model: nn.Module, targets: str, name: str) -> str:
    if targets == ATTENTION and adapter_layers(model, LINEAR):
        return f"{name} has no attention; set train.lora_targets to linear, or adapter to none"
    return f"{name} has no linear layers but its head; set train.adapter to none"


def _is_attention(name: str) -> bool:
    return any(each in part for part in name.split(".") for each in _ATTENTION_NAMES)


def _called_layers(model: nn.Module) -> set[str] | None:
    """Names of the modules that a forward pass calls; None if it cannot be run without values."""
    called: set[str] = set()
    hooks = [
        module.register_forward_hook(lambda *_, n=name: called.add(n))
        for name, module in model.named_modules()
    ]
    try:
        _run(model)
    except CANNOT_RUN:
        return None
    finally:
        for hook in hooks:
            hook.remove()
    return called


def _run(model: nn.Module) -> None:
    if is_text_model(model):
        from runner.models.text.layers import run_without_values

        run_without_values(model, lambda _: nullcontext())
        return
    image = torch.empty(2, *image_shape_of(model), device="meta")
    with evaluating(model):
        functional_call(model, stand_ins(model), (image,), tie_weights=False)
