"""What a trial keeps that trains adapters or the head alone, and the model that it amounts to."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from runner.errors import WeightsUnavailable
from runner.models.adapters.lora import is_adapter
from runner.models.groups import head_of
from runner.models.matching import counted


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of the adapters, if there are any, and of the head, statistics included.

    They are the model's own, not copies, as with state_dict().
    """
    modules = {name.rpartition(".")[0] for name in head_of(model)}
    return {
        name: tensor
        for name, tensor in model.state_dict().items()
        if is_adapter(name) or name.rpartition(".")[0] in modules
    }


def load_trainable(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Puts what `trainable_state` gave into a model built, and adapted, as theirs was.

    Raises:
        WeightsUnavailable: If the tensors are not exactly those of this model.
    """
    own = trainable_state(model)
    reshaped = tuple(
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    )
    parts = (
        counted("missing", tuple(name for name in own if name not in state)),
        counted("unexpected", tuple(name for name in state if name not in own)),
        counted("of another shape", reshaped),
    )
    difference = "; ".join(part for part in parts if part)
    if difference:
        name = type(model).__name__
        raise WeightsUnavailable(f"the kept tensors do not fit {name}: {difference}")
    model.load_state_dict(dict(state), strict=False)


def merged_model(model: nn.Module) -> nn.Module:
    """A copy with the adapters added into its weights: plain again, with the same outputs.

    Its tensors have the names of a model that never had adapters.
    """
    merged = copy.deepcopy(model)
    for name, layer in list(merged.named_modules()):
        if not hasattr(layer, "lora_A"):
            continue
        adapted: Any = layer
        adapted.merge()
        parent, _, attribute = name.rpartition(".")
        setattr(merged.get_submodule(parent), attribute, adapted.get_base_layer())
    if hasattr(merged, "peft_config"):
        del merged.peft_config
    return merged
