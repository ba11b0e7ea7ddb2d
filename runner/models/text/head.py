"""The head of a text model: what the task adds to the encoder."""

from collections.abc import Iterable
from typing import Any

from torch import nn


def is_text_model(model: nn.Module) -> bool:
    """Whether a model is one of transformers', without importing transformers."""
    return hasattr(model, "base_model_prefix") and hasattr(model, "config")


def encoder_of(model: nn.Module) -> nn.Module:
    """The encoder inside a model with a head; its weights are what is published."""
    encoder: nn.Module = model.base_model  # type: ignore[assignment]
    return encoder


def encoder_prefix(model: nn.Module) -> str:
    """What the names of the encoder's parameters start with."""
    return f"{model.base_model_prefix}."


# Where a model keeps the names of parameters of its encoder that its weights did not have.
_FRESH = "_fresh_encoder_parameters"


def set_fresh(model: nn.Module, names: Iterable[str]) -> None:
    """Note which parameters of the encoder (a pooler's) did not come from the weights."""
    setattr(model, _FRESH, frozenset(names))


def text_head_parameters(model: nn.Module) -> tuple[str, ...]:
    """Names of the parameters that start fresh: the classifier, and what leads to it.

    Some families put a layer of their own before the classifier (RoBERTa, ELECTRA, DistilBERT's
    pre_classifier, DeBERTa's pooler, ModernBERT's head). It is no part of the encoder and starts
    fresh as the classifier does, so freezing it would keep random numbers. So would it for a
    pooler inside the encoder that the weights do not have.
    """
    prefix = encoder_prefix(model)
    fresh: frozenset[str] = getattr(model, _FRESH, frozenset())
    return tuple(
        name
        for name, _ in model.named_parameters()
        if not name.startswith(prefix) or name in fresh
    )


def output_layer(model: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer, which gives the scores, and its name."""
    prefix = encoder_prefix(model)
    config: Any = model.config
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and not name.startswith(prefix)
        and module.out_features == config.num_labels
    ]
    return found[-1]


def head_dropouts(model: nn.Module) -> tuple[nn.Dropout, ...]:
    """The dropout layers outside the encoder."""
    prefix = encoder_prefix(model)
    return tuple(
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Dropout) and not name.startswith(prefix)
    )
