"""The served text model against the training code: the same answers to the same texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from runner.data import Cleaning, Example, TextSource, tokenize_texts
from runner.experiment import LabelKind
from runner.models import text_logits
from runner.promotion.text_packaging import TextModel
from tests.promotion.text_models import AS_IT_IS, TAGS, TEXTS, loaded, text_model


def trained_logits(model: TextModel, texts: list[Any]) -> torch.Tensor:
    """What the training code computes: the token store's batch through the models room."""
    kind = model.answers.kind
    examples = tuple(Example(str(row), 0, str(row)) for row in range(len(texts)))
    source = TextSource("texts", kind, model.answers.classes, examples, (), texts)
    store = tokenize_texts(
        source,
        range(len(texts)),
        tokenizer=model.tokenizer,
        tokenizer_key="tiny",
        cleaning=Cleaning(**model.cleaning),
        cache=None,
    )
    arrays = store.batch(
        range(len(texts)), pad_id=model.tokenizer.pad_token_id, max_length=model.max_length
    )
    with torch.no_grad():
        return text_logits(model.network, {n: torch.from_numpy(a) for n, a in arrays.items()})


MESSY = {"lower": True, "unicode": "NFKC", "whitespace": True}


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cleaning", [AS_IT_IS, MESSY], ids=["as_it_is", "cleaned"])
def test_predict_gives_what_the_training_code_gives(
    base: Path, tmp_path: Path, family: str, side: str, cleaning: dict[str, Any]
):
    model = text_model(base / family, LabelKind.CLASS, max_length=10, cleaning=cleaning)
    model.tokenizer.truncation_side = side
    texts = [*TEXTS, "Ｗide \u00a0 LETTERS", "half \ud83d a smile"]
    expected = trained_logits(model, texts).softmax(dim=1)

    answers = loaded(tmp_path, model).predict(pd.DataFrame({"text": texts}, dtype=object))
    assert np.allclose(answers[["dull", "fine", "class label"]], expected, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_predict_tags_words_as_the_training_code_does(
    base: Path, tmp_path: Path, family: str, side: str
):
    model = text_model(base / family, LabelKind.TAGS, max_length=9)
    model.tokenizer.truncation_side = model.tokenizer.padding_side = side
    texts = [("Maria", "foxdogs", "x"), ("Berlin",), (*"abcde", "foxbearsleeps", *"abcdef")]
    logits = trained_logits(model, texts)
    expected = [
        [TAGS[int(best)] for best in own[: len(words)].argmax(dim=1)]
        for own, words in zip(logits, texts, strict=True)
    ]

    answers = loaded(tmp_path, model).predict(pd.DataFrame({"tokens": map(list, texts)}))
    assert list(answers["tags"]) == expected


def test_predict_pairs_as_the_training_code_does(base: Path, tmp_path: Path):
    for family in ("bert", "roberta"):
        model = text_model(base / family, LabelKind.CLASS, has_pair=True, max_length=11)
        pairs = [("a fox", "a dog"), ("a fox " * 30, "a dog"), ("the fox " * 9, "dog " * 40)]
        expected = trained_logits(model, pairs).softmax(dim=1)
        answers = loaded(tmp_path / family, model).predict(
            pd.DataFrame(pairs, columns=["text", "pair"])
        )
        assert np.allclose(answers[["dull", "fine", "class label"]], expected, atol=1e-5)
