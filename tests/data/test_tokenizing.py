"""Tokenising once: what is kept, when it is made again, who may disturb."""

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runner.data import tokenizing
from runner.data.budget import Allowance
from runner.data.cleaning import Cleaning
from runner.data.tokenizing import tokenize_texts
from runner.data.tokens import TokenStore
from runner.errors import DataError
from runner.experiment import LabelKind
from tests.data.tokenizers import SHAPES, random_source, text_source, tiny_tokenizer

PLAIN = Cleaning()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tiny_tokenizer(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def tokenized(tokenizer, tmp_path):
    """Tokenises all of a source with a cache."""

    def call(source, *, cleaning: Cleaning = PLAIN, key: str = "tiny", by=tokenizer) -> TokenStore:
        return tokenize_texts(
            source,
            range(len(source.examples)),
            tokenizer=by,
            tokenizer_key=key,
            cleaning=cleaning,
            cache=tmp_path / "cache",
        )

    return call


def entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "tokens").iterdir())


def everything(store: TokenStore) -> dict[str, np.ndarray]:
    return store.batch(range(len(store)), pad_id=0)


def assert_equal(first: TokenStore, second: TokenStore) -> None:
    left, right = everything(first), everything(second)
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_are_made_once_and_memory_mapped(tokenized, tmp_path, monkeypatch, shape):
    source = random_source(shape)
    first = tokenized(source)
    (entry,) = entries(tmp_path)

    monkeypatch.setattr(tokenizing, "_chunks", None)  # nothing can be tokenised any more
    second = tokenized(source)

    assert entries(tmp_path) == [entry]
    assert_equal(first, second)


def test_tokens_of_the_cache_are_mapped_read_only(tokenized):
    tokenized(random_source("words"))

    table = tokenized(random_source("words"))._table

    for array in (table.ids, table.sizes, table.word_counts, table.words):
        assert not array.flags.writeable
        assert not array.flags.owndata


def test_tokens_without_room_on_disk_are_kept_in_memory(tokenizer, tmp_path):
    source = random_source("words")
    asked = {"tokenizer": tokenizer, "tokenizer_key": "tiny", "cleaning": PLAIN}
    indices = range(len(source.examples))

    full = tokenize_texts(
        source, indices, cache=tmp_path / "full", allowance=Allowance(0), **asked
    )
    roomy = tokenize_texts(source, indices, cache=tmp_path / "roomy", **asked)

    assert_equal(full, roomy)
    assert roomy.kept == "kept on disk"
    assert full.kept.startswith("kept in memory: ")
    assert "do not fit into the 0 KiB that reuse.data_gib leaves" in full.kept
    assert list((tmp_path / "full").glob("*/*")) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_without_a_cache_are_the_same(tokenized, tokenizer, shape):
    source = random_source(shape)

    in_memory = tokenize_texts(
        source,
        range(len(source.examples)),
        tokenizer=tokenizer,
        tokenizer_key="tiny",
        cleaning=PLAIN,
        cache=None,
    )

    assert_equal(in_memory, tokenized(source))


def test_tokens_are_those_of_the_indices_in_their_order(tokenizer, tmp_path):
    source = text_source(["fox", "fox fox", "fox fox fox"])

    store = tokenize_texts(
        source,
        [2, 0],
        tokenizer=tokenizer,
        tokenizer_key="tiny",
        cleaning=PLAIN,
        cache=tmp_path,
    )

    assert store.lengths.tolist() == [5, 3]


def test_more_texts_than_one_call_takes_keep_their_order(tokenized):
    counts = np.random.default_rng(0).integers(0, 9, 2345)

    store = tokenized(text_source(["fox " * count for count in counts]))

    assert np.array_equal(store.lengths, counts + 2)


def test_cleaning_tokenizer_content_order_and_shape_each_have_their_own_entry(tokenized, tmp_path):
    source = text_source(["a fox", "a dog"])
    tokenized(source)
    tokenized(source, cleaning=Cleaning(lower=True))
    tokenized(source, cleaning=Cleaning(unicode="NFC"))
    tokenized(source, key="another")
    tokenized(text_source(["a dog", "a fox"]))
    tokenized(text_source(["a fox", "a bear"]))
    same_digests = text_source([("a fox", "a"), ("a dog", "a")])
    tokenized(replace(same_digests, examples=source.examples))
    as_words = text_source([("a", "fox"), ("a", "dog")], kind=LabelKind.TAGS)
    tokenized(replace(as_words, examples=source.examples))

    assert len(entries(tmp_path)) == 8
    tokenized(source)
    assert len(entries(tmp_path)) == 8


def test_texts_are_cleaned_before_they_are_tokenised(tokenized):
    source = text_source(["ＦＯＸ\u3000 dog"])

    cleaned = tokenized(source, cleaning=Cleaning(unicode="NFKC", whitespace=True))

    assert_equal(cleaned, tokenized(text_source(["FOX dog"])))
    assert cleaned.lengths.tolist() == [4]


def test_words_and_both_texts_of_a_pair_are_cleaned_one_by_one(tokenized):
    compatible = Cleaning(unicode="NFKC")

    words = tokenized(
        text_source([("ＦＯＸ", "ｄｏｇ")], kind=LabelKind.TAGS), cleaning=compatible
    )
    pair = tokenized(text_source([("ＦＯＸ", "ｄｏｇ")]), cleaning=compatible)

    assert_equal(words, tokenized(text_source([("fox", "dog")], kind=LabelKind.TAGS)))
    assert_equal(pair, tokenized(text_source([("fox", "dog")])))


def test_text_with_half_a_character_is_tokenised(tokenized):
    assert_equal(tokenized(text_source(["fox \ud83d dog"])), tokenized(text_source(["fox � dog"])))


@pytest.mark.parametrize("damage", ["cut", "empty", "longer", "other"])
def test_damaged_entry_is_made_again(tokenized, tmp_path, damage):
    source = random_source("words")
    whole = tokenized(source)
    expected = everything(whole)
    (entry,) = entries(tmp_path)
    content = entry.read_bytes()
    broken = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "longer": b"\0" * 4 + content,
        "other": bytes(len(content)),
    }
    entry.unlink()  # the store above still maps the old file
    entry.write_bytes(broken[damage])

    again = tokenized(source)

    assert all(np.array_equal(rows, expected[name]) for name, rows in everything(again).items())
    assert entry.read_bytes() == content


def test_disk_that_refuses_keeps_tokens_in_memory(tokenized, tokenizer, tmp_path, caplog):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tokens").write_text("a file where a folder should be")

    store = tokenized(text_source(["fox dog"]))

    assert store.lengths.tolist() == [4]
    assert "tokens are kept in memory: the disk refused (" in caplog.text


class _ForgetsItsEnd:
    """A tokenizer that leaves the last special token out when it cuts."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str):
        return getattr(self._tokenizer, name)

    def __call__(self, *columns, **options):
        encoded = self._tokenizer(*columns, **options)
        if options.get("truncation"):
            encoded["input_ids"] = [ids[:-1] for ids in encoded["input_ids"]]
        return encoded


def test_tokenizer_whose_special_tokens_depend_on_the_text_is_refused(tokenized, tokenizer):
    with pytest.raises(DataError) as caught:
        tokenized(text_source(["a red fox"]), by=_ForgetsItsEnd(tokenizer))

    assert str(caught.value) == (
        "the tokenizer (_ForgetsItsEnd) adds special tokens in a way that depends on the text or "
        "on its length (seen at 0000); texts are cut after they were tokenised, which such a "
        "tokenizer does not allow. Choose another model or tokenizer"
    )


def test_tokenizer_that_loses_the_spaces_between_words_is_told_of(tokenized, tmp_path, caplog):
    from tokenizers.pre_tokenizers import ByteLevel

    tokenizer = tiny_tokenizer(tmp_path / "roberta", "roberta")
    words = text_source([("fox", "dog")], kind=LabelKind.TAGS)
    with caplog.at_level(logging.WARNING):
        tokenized(words, by=tokenizer)
        assert caplog.text == ""

        tokenizer.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        tokenized(words, by=tokenizer)

    assert "does not see the spaces between words" in caplog.text
    assert "load it with add_prefix_space=True" in caplog.text
    assert len(entries(tmp_path)) == 2  # the option it was loaded with is part of the key


def test_size_that_is_expected_is_near_what_texts_take(tokenized, tmp_path):
    counts = np.random.default_rng(0).integers(0, 60, 3000)
    source = text_source(["fox " * count for count in counts])
    texts = tokenizing._Texts(source, range(3000), PLAIN)

    expected = tokenizing._expected_bytes(texts, tiny_tokenizer(tmp_path / "bert"))

    assert expected == pytest.approx(tokenized(source).nbytes, rel=0.2)


_PROGRAM = """
import sys
from pathlib import Path
from runner.data.cleaning import Cleaning
from runner.data.tokenizing import tokenize_texts
from tests.data.tokenizers import text_source
from transformers import AutoTokenizer

folder, cache, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(folder)
source = text_source(["fox " * (number % 50) + "dog" for number in range(count)])
print("ready", flush=True)
store = tokenize_texts(source, range(count), tokenizer=tokenizer, tokenizer_key="t",
                       cleaning=Cleaning(), cache=cache)
print(store.lengths.sum(), store.batch([49], pad_id=0)["input_ids"].sum(), flush=True)
"""


def _start(folder: Path, cache: Path, count: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", _PROGRAM, str(folder), str(cache), str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_that_tokenise_at_once_agree_and_leave_one_entry(tmp_path):
    tiny_tokenizer(tmp_path / "bert")

    both = [_start(tmp_path / "bert", tmp_path / "cache", 20_000) for _ in range(2)]
    told = [process.communicate()[0].split("\n")[1] for process in both]

    assert told[0] == told[1] != ""
    assert len(entries(tmp_path)) == 1


@pytest.mark.slow
def test_killed_while_tokenising_the_next_one_starts_afresh(tmp_path):
    tiny_tokenizer(tmp_path / "bert")
    count = 60_000
    process = _start(tmp_path / "bert", tmp_path / "cache", count)
    assert process.stdout is not None
    process.stdout.readline()
    unfinished = tmp_path / "cache" / "tokens"
    while not (unfinished.is_dir() and any(path.stat().st_size for path in unfinished.iterdir())):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert [path.name.startswith(".tmp-") for path in entries(tmp_path)] == [True]

    told = _start(tmp_path / "bert", tmp_path / "cache", count).communicate()[0].split()

    assert int(told[1]) == sum(number % 50 + 3 for number in range(count))
    assert [path.name.startswith(".tmp-") for path in entries(tmp_path)] == [False]
