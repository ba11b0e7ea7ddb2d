"""What the head of a transformers model reads of its encoder, and how to feed it by itself."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from runner.models.cutting.catching import caught
from runner.models.cutting.trace import Operation, traced
from runner.models.cutting.views import Given, with_parts
from runner.models.text.head import encoder_of

_TOKENS = 8
_FIRST_TOKEN = ("aten.select.int", (1, 0))


class HeadInput(Enum):
    """What the head reads."""

    TOKENS = "the last hidden states"
    FIRST = "the last hidden state of the first token"
    MEAN = "the mean of the last hidden states over a text's tokens"
    POOLED = "what the encoder's pooler gives"


def head_input(model: nn.Module) -> HeadInput | None:
    """What the head of a model reads, found by following passes without values.

    Returns:
        None if it reads anything else, or the rest of the model takes part in it.
    """
    tokens = torch.zeros(2, _TOKENS, dtype=torch.int64, device="meta")
    encoder = encoder_of(model)
    outputs, _ = traced(
        model, lambda _: caught(lambda: model(input_ids=tokens), leaving={0: encoder})[0]
    )
    hidden = torch.empty_like(outputs[0])
    pooled_output = torch.empty_like(hidden[:, 0])
    view, inputs = _view(model, hidden, pooled_output)
    scores, trace = traced(model, lambda _: view(**inputs).logits)
    has_pooler = getattr(outputs, "pooler_output", None) is not None
    kind = _kind(trace.reading(hidden), is_pooled=bool(trace.reading(pooled_output)))
    if scores.ndim == 3:
        return HeadInput.TOKENS if kind is not HeadInput.POOLED else None
    if kind is HeadInput.POOLED:
        return kind if has_pooler else None
    config: Any = model.config
    if kind is None and getattr(config, "classifier_pooling", None) == "mean":
        return HeadInput.MEAN
    return kind


def _kind(reads: tuple[Operation, ...], *, is_pooled: bool) -> HeadInput | None:
    if is_pooled:
        return None if reads else HeadInput.POOLED
    is_first = all((each.name, each.numbers) == _FIRST_TOKEN for each in reads)
    return HeadInput.FIRST if reads and is_first else None


def pooled(kind: HeadInput, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """What the head reads of the encoder's outputs, shape [B, H], or [B, L, H] for words.

    Args:
        kind: What it is.
        outputs: The encoder's.
        batch: Of texts, with their `attention_mask`.
    """
    hidden: Tensor = outputs[0]
    if kind is HeadInput.FIRST:
        return hidden[:, 0]
    if kind is HeadInput.MEAN:
        mask = batch.get("attention_mask", hidden.new_ones(hidden.shape[:2]))
        return (hidden * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    if kind is HeadInput.POOLED:
        result: Tensor = outputs.pooler_output
        return result
    return hidden


def head_view(
    model: nn.Module, features: Tensor, kind: HeadInput
) -> tuple[nn.Module, dict[str, Tensor]]:
    """The head alone, as a view of the model, and what to call it with.

    Args:
        model: Not changed.
        features: As `pooled` gives them.
        kind: What they are.
    """
    # One token that has everything the head reads of a text: the first, the mean of all.
    hidden = features if kind is HeadInput.TOKENS else features.unsqueeze(1)
    return _view(model, hidden, features)


def _view(
    model: nn.Module, hidden: Tensor, pooler_output: Tensor
) -> tuple[nn.Module, dict[str, Tensor]]:
    outputs = BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooler_output)
    view = with_parts(model, {str(model.base_model_prefix): Given(outputs)})
    return view, {"inputs_embeds": hidden}
