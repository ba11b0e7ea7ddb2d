"""What a text model says about a batch."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

WORD_POSITIONS = "word_positions"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def text_logits(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """The model's scores for a batch of texts, or for each of their words.

    Args:
        model: Of `build_text_model`, with or without adapters.
        batch: `input_ids` and `attention_mask`, shape [B, T] int64; `token_type_ids` where the
            tokenizer gives them; for words also `word_positions`, shape [B, W] int64: where each
            word's first token is, -1 for padding and for words that were cut off.
    Returns:
        Shape [B, C]; for words [B, W, C]. A word without a position scores 1 for the first class
        and 0 for all others.
    Shapes: B texts, T tokens, W words, C outputs.
    """
    logits: Tensor = model(**text_inputs(model, batch)).logits
    return scores_of(logits, batch)


def text_inputs(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a batch of texts the model takes, by name."""
    taken = inspect.signature(model.forward).parameters
    config: Any = model.config
    has_types = getattr(config, "type_vocab_size", 2) > 1
    return {
        name: batch[name]
        for name in _INPUTS
        if name in batch and name in taken and (has_types or name != "token_type_ids")
    }


def scores_of(logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """The scores a batch asks for: the model's, or where words are tagged those of the words."""
    return _of_words(logits, batch[WORD_POSITIONS]) if WORD_POSITIONS in batch else logits


def _of_words(logits: Tensor, positions: Tensor) -> Tensor:
    """Scores at each word's first token, shape [B, W, C]."""
    index = positions.clamp(min=0).to(torch.int64)
    index = index[..., None].expand(-1, -1, logits.shape[-1])
    unknown = torch.zeros_like(logits[:, :1])
    unknown[..., 0] = 1
    return torch.where((positions >= 0)[..., None], logits.gather(1, index), unknown)
