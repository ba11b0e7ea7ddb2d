"""What the head of a transformers model reads, and how to feed it by itself."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from runner.models.cutting.catching import caught
from runner.models.cutting.trace import Operation, Trace, traced
from runner.models.cutting.views import Given, with_parts
from runner.models.order import NoLayerOrder
from runner.models.text.head import encoder_prefix
from runner.models.text.layers import encoder_layers

TOKENS = 8
"""A text this long fits every model."""
_FIRST_TOKEN = ("aten.select.int", (1, 0))


class HeadInput(Enum):
    """What the head reads."""

    TOKENS = "the last hidden states"
    FIRST = "the last hidden state of the first token"
    MEAN = "the mean of the last hidden states over a text's tokens"
    POOLED = "what the encoder's pooler gives"


@dataclass(frozen=True)
class HeadFeed:
    """How to feed the head of a text model.

    Attributes:
        reads: What it reads.
        source: Name of the module that gives it: the encoder, or the part of it that holds the
            layers where a pooler after them belongs to the head.
        idle: Names of modules before that, which the head does without.
    """

    reads: HeadInput
    source: str
    idle: tuple[str, ...]

    def features(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """What the head reads, shape [B, H], or [B, L, H] for words.

        Args:
            outputs: What the source gives.
            batch: Of texts, with their `attention_mask`.
        """
        hidden: Tensor = outputs[0]
        if self.reads is HeadInput.FIRST:
            return hidden[:, 0]
        if self.reads is HeadInput.MEAN:
            mask = batch.get("attention_mask", hidden.new_ones(hidden.shape[:2]))
            return (hidden * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        if self.reads is HeadInput.POOLED:
            pooled: Tensor = outputs.pooler_output
            return pooled
        return hidden

    def logits(self, model: nn.Module, features: Tensor) -> Tensor:
        """The head's scores of such features, by the model's own code."""
        if self.reads is HeadInput.TOKENS:
            return self.run(model, features, None)
        # One token that has everything the head reads of a text: the first, the mean of all.
        pooled = features if self.reads is HeadInput.POOLED else None
        return self.run(model, features.unsqueeze(1), pooled)

    def run(self, model: nn.Module, hidden: Tensor, pooled: Tensor | None) -> Tensor:
        """The scores where the source gives these hidden states, and this as its pooler's."""
        outputs = BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=hidden, pooler_output=pooled
        )
        idle: dict[str, nn.Module] = dict.fromkeys(self.idle, Given(hidden))
        view = with_parts(model, {**idle, self.source: Given(outputs)})
        logits: Tensor = view(inputs_embeds=hidden).logits
        return logits


def head_feed(model: nn.Module, head: Collection[str]) -> HeadFeed | None:
    """How to feed the head of a text model, found by following passes without values.

    Args:
        model: On any device.
        head: Names of its parameters.
    Returns:
        None if it reads anything but hidden states, or other parameters take part.
    """
    tokens = torch.zeros(2, TOKENS, dtype=torch.int64, device="meta")
    for source, idle in _sources(model):
        module = model.get_submodule(source)
        outputs, _ = traced(
            model,
            lambda _, module=module: caught(  # type: ignore[misc]
                lambda: model(input_ids=tokens), leaving={0: module}
            )[0],
        )
        _, plain = traced(model, lambda _: model(input_ids=tokens))
        reads = _reads(model, HeadFeed(HeadInput.TOKENS, source, idle), outputs, plain, head)
        if reads is not None:
            return HeadFeed(reads, source, idle)
    return None


def _sources(model: nn.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The modules that may feed the head, and those that idle then."""
    prefix = encoder_prefix(model)
    yield prefix.rstrip("."), ()
    try:
        inner = encoder_layers(model)[0].removeprefix(prefix).partition(".")[0]
    except NoLayerOrder:
        return
    yield f"{prefix}{inner}", (f"{prefix}embeddings",)


def _reads(
    model: nn.Module, feed: HeadFeed, outputs: Any, plain: Trace, head: Collection[str]
) -> HeadInput | None:
    hidden = torch.empty_like(outputs[0])
    has_pooler = getattr(outputs, "pooler_output", None) is not None
    pooled = torch.empty_like(hidden[:, 0]) if has_pooler else None
    scores, trace = traced(model, lambda _: feed.run(model, hidden, pooled))
    own = _parameters(trace)
    if own != [name for name in _parameters(plain) if name in head]:
        return None
    reads = trace.reading(hidden)
    if pooled is not None and trace.reading(pooled):
        return None if reads or scores.ndim == 3 else HeadInput.POOLED
    return HeadInput.TOKENS if scores.ndim == 3 else _of_text(model, reads)


def _of_text(model: nn.Module, reads: Collection[Operation]) -> HeadInput | None:
    if reads and all((each.name, each.numbers) == _FIRST_TOKEN for each in reads):
        return HeadInput.FIRST
    config: Any = model.config
    is_mean = getattr(config, "classifier_pooling", None) == "mean"
    return HeadInput.MEAN if is_mean else None


def _parameters(trace: Trace) -> list[str]:
    """The parameters read, each time and in order."""
    return [name for operation in trace.operations for name in operation.parameters]
