"""What text models say: of texts, and of words at their first tokens."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from runner.experiment import LabelKind
from runner.models import text_logits

_Build = Callable[..., nn.Module]
_TOKENS = torch.tensor([[2, 7, 8, 9, 3], [2, 11, 3, 0, 0]])
_MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet", "modernbert"])
def test_text_logits_take_what_the_tokenizer_gives_and_the_model_knows(
    tiny_model: _Build, family: str
) -> None:
    batch = {"input_ids": _TOKENS, "attention_mask": _MASK}
    with_types = {**batch, "token_type_ids": torch.tensor([[0, 0, 0, 1, 1], [0, 0, 1, 0, 0]])}
    model = tiny_model(family).eval()
    logits = text_logits(model, with_types)
    assert logits.shape == (2, 3)
    is_told_apart = family == "bert"
    assert torch.equal(logits, text_logits(model, batch)) != is_told_apart


def test_text_logits_of_padding_change_nothing(tiny_model: _Build) -> None:
    model = tiny_model("bert").eval()
    both = text_logits(model, {"input_ids": _TOKENS, "attention_mask": _MASK})
    alone = text_logits(model, {"input_ids": _TOKENS[1:, :3], "attention_mask": _MASK[1:, :3]})
    assert torch.allclose(both[1:], alone, atol=1e-6)


def test_text_logits_of_words_are_those_of_their_first_tokens(tiny_model: _Build) -> None:
    model = tiny_model("bert", LabelKind.TAGS).eval()
    batch = {"input_ids": _TOKENS, "attention_mask": _MASK}
    positions = torch.tensor([[1, 3, -1], [1, -1, -1]], dtype=torch.int32)
    words = text_logits(model, {**batch, "word_positions": positions})
    tokens = model(**batch).logits
    assert words.shape == (2, 3, 3)
    assert torch.equal(words[0, 0], tokens[0, 1])
    assert torch.equal(words[0, 1], tokens[0, 3])
    assert torch.equal(words[1, 0], tokens[1, 1])
    outside = torch.tensor([1.0, 0.0, 0.0])
    for row, word in ((0, 2), (1, 1), (1, 2)):
        assert torch.equal(words[row, word], outside)


def test_text_logits_of_words_send_gradients_to_the_words_that_are_there(
    tiny_model: _Build,
) -> None:
    model = tiny_model("bert", LabelKind.TAGS)
    batch = {"input_ids": _TOKENS, "attention_mask": _MASK}
    cut = torch.full((2, 2), -1)
    assert text_logits(model, {**batch, "word_positions": cut}).sum().item() == 4.0
    text_logits(model, {**batch, "word_positions": cut + 2}).sum().backward()
    gradient = model.get_parameter("classifier.bias").grad
    assert gradient is not None
    assert torch.equal(gradient, torch.full((3,), 4.0))
