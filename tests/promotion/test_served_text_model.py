"""The served text model: the texts of training, any batch, clear words for a broken row."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from runner.data import Cleaning, clean
from runner.experiment import LabelKind
from runner.promotion import served_text_model
from runner.promotion.text_packaging import TextModel
from runner.tasks.entities import iob2
from tests.promotion.text_models import CLASSES, TAGS, TEXTS, loaded, text_model


@pytest.fixture(scope="module")
def classifier(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loaded(
        tmp_path_factory.mktemp("classifier"), text_model(base / "bert", LabelKind.CLASS)
    )


@pytest.fixture(scope="module")
def tagger(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loaded(
        tmp_path_factory.mktemp("tagger"),
        text_model(base / "bert", LabelKind.TAGS, max_length=12),
    )


def frame(*texts: object) -> pd.DataFrame:
    return pd.DataFrame({"text": pd.Series(texts, dtype=object)})


def logits_of(model: TextModel, *texts: Any, **options: Any) -> torch.Tensor:
    """What plain transformers gives for one example, [C] or of tokens [T, C]."""
    batch = model.tokenizer(
        *texts, truncation=True, max_length=model.max_length, return_tensors="pt", **options
    )
    with torch.no_grad():
        return model.network(**batch).logits[0]


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_predict_gives_what_plain_transformers_gives(base: Path, tmp_path: Path, family: str):
    model = text_model(base / family, LabelKind.CLASS)
    answers = loaded(tmp_path, model).predict(frame(*TEXTS))
    expected = torch.stack([logits_of(model, text).softmax(dim=0) for text in TEXTS]).numpy()

    assert list(answers.columns) == ["label", "probability", "dull", "fine", "class label"]
    columns = ["dull", "fine", "class label"]
    assert np.allclose(answers[columns], expected, atol=1e-5)
    assert list(answers["label"]) == [CLASSES[best] for best in expected.argmax(axis=1)]
    assert np.ptp(expected, axis=0).max() > 0.1  # the texts are told apart


def test_predict_pairs_are_cut_as_the_tokenizer_cuts_them(base: Path, tmp_path: Path):
    model = text_model(base / "bert", LabelKind.CLASS, has_pair=True)
    served = loaded(tmp_path, model)
    pairs = [("a fox", "a dog"), ("a fox " * 30, "a dog"), ("the fox " * 30, "the dog " * 40)]
    answers = served.predict(pd.DataFrame(pairs, columns=["text", "pair"]))
    expected = torch.stack([logits_of(model, *pair).softmax(dim=0) for pair in pairs])

    assert np.allclose(answers[["dull", "fine", "class label"]], expected, atol=1e-5)
    swapped = served.predict(pd.DataFrame(pairs, columns=["pair", "text"]))
    assert not np.allclose(answers["dull"], swapped["dull"], atol=1e-5)
    with pytest.raises(MlflowException, match=r"missing inputs \['pair'\]"):
        served.predict(frame("a fox"))


def test_predict_several_labels_from_a_threshold(base: Path, tmp_path: Path):
    model = text_model(base / "bert", LabelKind.CLASSES)
    served = loaded(tmp_path, model)
    expected = torch.stack([logits_of(model, text).sigmoid() for text in TEXTS]).numpy()
    answers = served.predict(frame(*TEXTS))

    assert list(answers.columns) == ["labels", "dull", "fine", "class label"]
    assert np.allclose(answers.iloc[:, 1:].astype(float), expected, atol=1e-5)
    for labels, row in zip(answers["labels"], expected, strict=True):
        held = [CLASSES[position] for position in np.flatnonzero(row >= 0.5)]
        assert labels == ", ".join(held)
    everything = served.predict(frame(*TEXTS), params={"threshold": 0.0})
    assert set(everything["labels"]) == {"dull, fine, label"}
    nothing = served.predict(frame(*TEXTS), params={"threshold": 1.1})
    assert set(nothing["labels"]) == {""}


def test_predict_numbers_are_in_their_own_units(base: Path, tmp_path: Path):
    model = text_model(base / "bert", LabelKind.NUMBER)
    answers = loaded(tmp_path, model).predict(frame(*TEXTS))
    expected = [float(logits_of(model, text)) * 12.5 + 1950.0 for text in TEXTS]

    assert list(answers.columns) == ["prediction"]
    assert np.allclose(answers["prediction"], expected, atol=1e-3)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_predict_tags_are_those_of_each_words_first_token(base: Path, tmp_path: Path, family: str):
    model = text_model(base / family, LabelKind.TAGS, max_length=8)
    words = ["Maria", "Garcia", "foxdogs", "works", "in", "Berlin"]
    logits = logits_of(model, words, is_split_into_words=True)
    places = model.tokenizer(
        words, is_split_into_words=True, truncation=True, max_length=8
    ).word_ids()
    first = {word: position for position, word in reversed(list(enumerate(places)))}
    expected = [
        TAGS[int(logits[first[word]].argmax())] if word in first else "O" for word in range(6)
    ]
    answers = loaded(tmp_path, model).predict(frame(" ".join(words)))

    assert list(answers.columns) == ["tags", "entities"]
    assert answers["tags"][0] == expected
    assert set(range(6)) - set(first)  # some words were cut off


def test_predict_tokens_and_text_give_the_same_tags(tagger: Any):
    words = [["Maria", "Garcia"], ["London", "and", "Paris", "are", "large"], ["dog"]]
    by_tokens = tagger.predict(pd.DataFrame({"tokens": words}))
    by_text = tagger.predict(frame(*(" ".join(own) for own in words)))
    mixed = pd.DataFrame({"text": ["x", "London and Paris are large", None]})
    mixed["tokens"] = [words[0], None, words[2]]

    assert list(by_tokens["tags"]) == list(by_text["tags"])
    assert [len(tags) for tags in by_tokens["tags"]] == [2, 5, 1]
    assert list(tagger.predict(mixed)["tags"]) == list(by_tokens["tags"])


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["O", "O"], []),
        (["B-PER", "I-PER"], [("PER", 0, 2)]),
        (["B-PER", "B-PER"], [("PER", 0, 1), ("PER", 1, 2)]),
        (["I-PER", "I-PER", "O", "I-PER"], [("PER", 0, 2), ("PER", 3, 4)]),
        (["B-PER", "I-LOC", "I-LOC"], [("PER", 0, 1), ("LOC", 1, 3)]),
        (["S-PER", "B-LOC", "E-LOC", "S-LOC"], [("PER", 0, 1), ("LOC", 1, 3), ("LOC", 3, 4)]),
        (["U-PER", "B-LOC", "L-LOC", "I-LOC"], [("PER", 0, 1), ("LOC", 1, 3), ("LOC", 3, 4)]),
        (["NOUN", "NOUN", "B-", "O"], [("NOUN", 0, 1), ("NOUN", 1, 2), ("B-", 2, 3)]),
    ],
)
def test_entities_are_those_that_the_evaluation_counts(
    tags: list[str], found: list[tuple[str, int, int]]
):
    words = ["Ana", "Boa", "Céu", "Dão"][: len(tags)]
    entities = served_text_model.entities(words, tags)

    assert [(each["type"], each["start"], each["end"]) for each in entities] == found
    as_counted = [tag for tag in iob2(tags) if tag.startswith("B-")]
    assert [f"B-{each['type']}" for each in entities] == as_counted
    for each in entities:
        assert each["text"] == " ".join(words[each["start"] : each["end"]])


def test_entities_are_json_text(tagger: Any):
    answer = tagger.predict(frame("Maria Garcia works in Céu")).iloc[0]
    tags, entities = answer["tags"], json.loads(answer["entities"])

    assert entities == served_text_model.entities(["Maria", "Garcia", "works", "in", "Céu"], tags)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_predict_any_batch_is_row_by_row_in_the_order_given(classifier: Any, batch_size: int):
    together = classifier.predict(frame(*TEXTS), params={"batch_size": batch_size})
    alone = pd.concat([classifier.predict(frame(text)) for text in TEXTS], ignore_index=True)

    assert list(together["label"]) == list(alone["label"])
    assert np.allclose(together["probability"], alone["probability"], atol=1e-5)


def test_predict_keeps_the_index_and_takes_no_rows(classifier: Any, tagger: Any):
    table = pd.DataFrame({"text": ["a fox", "a dog"]}, index=["x", "y"])

    assert list(classifier.predict(table).index) == ["x", "y"]
    assert list(tagger.predict(table).index) == ["x", "y"]
    columns = ["label", "probability", "dull", "fine", "class label"]
    assert list(classifier.predict(frame()).columns) == columns
    assert list(tagger.predict(frame()).columns) == ["tags", "entities"]


@pytest.mark.parametrize(("top_k", "ranks"), [(1, 1), (2, 2), (9, 3), (0, 1)])
def test_predict_top_k_adds_the_next_best(classifier: Any, top_k: int, ranks: int):
    row = classifier.predict(frame("a fox"), params={"top_k": top_k}).iloc[0]
    given = [row[f"probability{ending}"] for ending in ["", "_2", "_3"][:ranks]]

    assert given == sorted(row[["dull", "fine", "class label"]], reverse=True)[:ranks]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("", "holds an empty text"),
        (" \n\t", "holds an empty text"),
        (None, "holds nothing"),
        (float("nan"), "holds nothing"),
        (3, "holds a int, not text"),
        (["a"], "holds a list, not text"),
    ],
)
def test_predict_a_broken_row_is_named_with_its_reason(
    classifier: Any, broken: object, reason: str
):
    with pytest.raises(MlflowException) as caught:
        classifier.predict(frame("a fox", broken))

    assert str(caught.value) == f"row 1 (counted from 0): the column 'text' {reason}"
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_predict_broken_words_are_named(tagger: Any):
    assert len(tagger.predict(pd.DataFrame({"tokens": [["a", "\u00a0"]]}))["tags"][0]) == 2
    for words, reason in (([], "holds no words"), ([" ", ""], "holds no words")):
        with pytest.raises(MlflowException) as caught:
            tagger.predict(pd.DataFrame({"tokens": [["a"], words]}))
        assert str(caught.value) == f"row 1 (counted from 0): the column 'tokens' {reason}"
    with pytest.raises(MlflowException) as caught:
        tagger.predict(pd.DataFrame({"words": ["a"]}))
    assert str(caught.value).startswith("the model takes a column 'text' or a column 'tokens'")


@pytest.mark.parametrize("unicode", [None, "NFC", "NFKC"])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("whitespace", [True, False])
def test_clean_is_that_of_training(unicode: Any, lower: bool, whitespace: bool):
    asked = {"lower": lower, "unicode": unicode, "whitespace": whitespace}
    texts = [
        *TEXTS,
        "  İstanbul\u00a0 ﬁne ＡＢＣ e\u0301 \u1e9e\r\n",
        "ΌΣΟΣ",
        "İ",
        "\u212b",
        "a\ud83d",
        "\ud83d\ude00",
    ]

    for text in texts:
        assert served_text_model.clean(text, **asked) == clean(text, Cleaning(**asked))


def test_predict_cleans_as_in_training(base: Path, tmp_path: Path):
    asked = {"lower": True, "unicode": "NFKC", "whitespace": True}
    model = text_model(base / "roberta", LabelKind.CLASS, cleaning=asked)
    served = loaded(tmp_path, model)
    messy = ["ＴＨＥ   Red\n fox", "A\u00a0DOG"]
    answers = served.predict(frame(*messy))
    expected = [
        logits_of(model, clean(text, Cleaning(True, "NFKC", True))).softmax(dim=0)
        for text in messy
    ]

    assert np.allclose(answers[["dull", "fine", "class label"]], torch.stack(expected), atol=1e-5)
    unclean = [logits_of(model, text).softmax(dim=0) for text in messy]
    assert not np.allclose(torch.stack(unclean), torch.stack(expected), atol=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_predict_pads_and_cuts_on_the_tokenizers_side(base: Path, tmp_path: Path, side: str):
    model = text_model(base / "bert", LabelKind.TAGS, max_length=8)
    model.tokenizer.padding_side = model.tokenizer.truncation_side = side
    answers = loaded(tmp_path, model).predict(frame("Maria works", "a b c d e f g h i j k l"))
    kept = [position for position in range(12) if (position >= 6) == (side == "left")]
    logits = logits_of(model, list("abcdefghijkl"), is_split_into_words=True)[1:-1]
    expected = ["O"] * 12
    for position, best in zip(kept, logits.argmax(dim=1).tolist(), strict=True):
        expected[position] = TAGS[best]

    assert answers["tags"][1] == expected
