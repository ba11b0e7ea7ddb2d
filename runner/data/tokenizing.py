"""Texts through a tokenizer, once: the result is kept and memory-mapped by whoever comes next.

Layout:
    cache/tokens/<key>.tokens   see token_table.py; the key covers contents, order, cleaning, the
                                tokenizer and the version of the library that runs it
"""

import hashlib
import importlib.metadata
import itertools
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from runner.data.budget import AUTO, Allowance, NoRoom
from runner.data.cache import TOKENS, entry_path
from runner.data.cleaning import Cleaning, clean
from runner.data.disk import DiskRefused
from runner.data.example import TextSource
from runner.data.keeping import IN_MEMORY, ON_DISK, why_not_kept
from runner.data.prepared import PreparedSets
from runner.data.token_layout import Tokenizer, layout_of
from runner.data.token_table import TokenTable, in_memory, parse_table, write_table
from runner.data.tokens import TokenStore
from runner.errors import DataError
from runner.experiment import LabelKind

_TOKENS_VERSION = 1  # raised when the same texts would give another file
_CHUNK = 1000  # texts tokenised in one call, in as many threads as the library likes
_ESTIMATED = 64  # texts that are tokenised to guess the size of all
_COMPARED = 8  # texts whose tokens are compared with the tokenizer's own

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Texts:
    """Some texts of a source, cleaned when they are asked for."""

    source: TextSource
    indices: Sequence[int]
    cleaning: Cleaning

    @property
    def has_words(self) -> bool:
        """Whether each text is a list of words."""
        return self.source.kind is LabelKind.TAGS

    def columns(self, indices: Sequence[int]) -> list[list[Any]]:
        """What the tokenizer is called with: texts; or first and second ones; or words."""
        texts = [self._cleaned(index) for index in indices]
        if self.source.is_pair:
            return [[pair[0] for pair in texts], [pair[1] for pair in texts]]
        return [[list(text) for text in texts] if self.has_words else texts]

    def example_id(self, position: int) -> str:
        """Name of the example at a position in `indices`."""
        return self.source.examples[self.indices[position]].id

    def _cleaned(self, index: int) -> Any:
        text = self.source.text(index)
        if isinstance(text, str):
            return clean(text, self.cleaning)
        return tuple(clean(part, self.cleaning) for part in text)


def tokenize_texts(
    source: TextSource,
    indices: Sequence[int],
    *,
    tokenizer: Tokenizer,
    tokenizer_key: str,
    cleaning: Cleaning,
    cache: Path | None,
    allowance: Allowance = AUTO,
) -> TokenStore:
    """The token store of these examples, in this order.

    Args:
        source: Gives the texts.
        indices: Positions in the source; tokenise test examples in a call of their own.
        tokenizer: A fast tokenizer of transformers; the sides it pads and cuts are respected.
        tokenizer_key: Fingerprint of the tokenizer's files.
        cleaning: What is done to each text, or to each word, first.
        cache: Folder of caches; None tokenises into memory.
        allowance: What all prepared examples may take of the cache's disk.
    Raises:
        DataError: If the tokenizer puts tokens together in a way that cannot be cut later.
    Side effects: Writes one file under `cache/tokens/`, renamed into place when complete; removes
        prepared examples that were used least recently where they take more than they may.
    """
    texts = _Texts(source, indices, cleaning)
    layout = layout_of(tokenizer, is_pair=source.is_pair)
    if texts.has_words:
        _warn_of_lost_spaces(tokenizer)
    key = _key(texts, tokenizer, tokenizer_key)
    table, kept = _table(texts, tokenizer, key, cache, allowance)
    store = TokenStore(table, layout, kept)
    _refuse_other_tokens(store, texts, tokenizer)
    return store


def _table(
    texts: _Texts, tokenizer: Tokenizer, key: str, cache: Path | None, allowance: Allowance
) -> tuple[TokenTable, str]:
    """The tokens of all texts, and where they are kept."""
    if cache is None or not texts.indices:
        return in_memory(_chunks(texts, tokenizer)), IN_MEMORY
    try:
        table = PreparedSets(cache, allowance).get(
            entry_path(cache, TOKENS, key, ".tokens"),
            parse=partial(_parsed, count=len(texts.indices)),
            write=lambda file: write_table(file, _chunks(texts, tokenizer)),
            needed_bytes=partial(_expected_bytes, texts, tokenizer),
        )
    except (NoRoom, DiskRefused) as error:
        why = why_not_kept(error)
        log.warning("tokens are kept in memory: %s", why)
        return in_memory(_chunks(texts, tokenizer)), f"{IN_MEMORY}: {why}"
    return table, ON_DISK


def _parsed(content: np.ndarray, *, count: int) -> TokenTable | None:
    table = parse_table(content)
    return table if table is not None and len(table.sizes) == count else None


def _expected_bytes(texts: _Texts, tokenizer: Tokenizer) -> int:
    """About what the table of all texts takes, going by some of them."""
    count = len(texts.indices)
    step = max(1, count // _ESTIMATED)
    some = replace(texts, indices=texts.indices[::step])
    size = in_memory(_chunks(some, tokenizer)).nbytes
    return size * count // len(some.indices)


def tokens_version() -> str:
    """What cuts texts into tokens: with another one tokens may be others."""
    return f"{_TOKENS_VERSION} {importlib.metadata.version('tokenizers')}"


def _key(texts: _Texts, tokenizer: Tokenizer, tokenizer_key: str) -> str:
    """Equal keys mean equal tokens; options the tokenizer was loaded with show in a probe."""
    probe = tokenizer([["Probe", "probe"]], is_split_into_words=True, verbose=False)["input_ids"]
    form = [texts.has_words, texts.source.is_pair, texts.cleaning.key()]
    facts = json.dumps([tokens_version(), tokenizer_key, probe, *form])
    digest = hashlib.sha256(facts.encode())
    for index in texts.indices:
        digest.update(texts.source.examples[index].digest.encode())
    return digest.hexdigest()[:40]


def _chunks(texts: _Texts, tokenizer: Tokenizer) -> Iterator[TokenTable]:
    """The tokens of all texts, some hundred texts at a time."""
    for start in range(0, len(texts.indices), _CHUNK):
        columns = texts.columns(texts.indices[start : start + _CHUNK])
        encoded = [_encoded(tokenizer, column, has_words=texts.has_words) for column in columns]
        ids, sizes = _ids_and_sizes([column["input_ids"] for column in encoded])
        if texts.has_words:
            places = [
                _word_places(encoded[0].word_ids(row), len(words))
                for row, words in enumerate(columns[0])
            ]
            counts = np.array([len(words) for words in columns[0]], np.int32)
            yield TokenTable(ids, sizes, counts, np.concatenate(places))
        else:
            yield TokenTable(ids, sizes)


def _encoded(tokenizer: Tokenizer, column: list[Any], *, has_words: bool) -> Any:
    """One column without special tokens, uncut."""
    return tokenizer(
        column,
        add_special_tokens=False,
        truncation=False,
        padding=False,
        is_split_into_words=has_words,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )


def _ids_and_sizes(columns: list[list[list[int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Flat ids and the sizes of the sequences; `columns` has one entry, or two for pairs."""
    rows = list(zip(*columns, strict=True))
    sizes = np.zeros((len(rows), 2), np.int32)
    sizes[:, : len(columns)] = [[len(sequence) for sequence in row] for row in rows]
    flat = itertools.chain.from_iterable(itertools.chain.from_iterable(rows))
    return np.fromiter(flat, np.int32, count=int(sizes.sum())), sizes


def _word_places(word_ids: Sequence[int | None], count: int) -> np.ndarray:
    """Place of the first token of each of `count` words, -1 for a word without one."""
    places = np.full(count, -1, np.int32)
    for place in range(len(word_ids) - 1, -1, -1):
        word = word_ids[place]
        if word is not None:
            places[word] = place
    return places


def _refuse_other_tokens(store: TokenStore, texts: _Texts, tokenizer: Tokenizer) -> None:
    """Compare some texts with what the tokenizer itself gives, whole and cut to half."""
    longest = store.lengths.argsort()[-1:].tolist()
    for position in {*range(len(store))[:_COMPARED], *longest}:
        length = int(store.lengths[position])
        for max_length in (length + 1, max(length // 2, store.special_count + 1)):
            own = tokenizer(
                *texts.columns([texts.indices[position]]),
                truncation=True,
                max_length=max_length,
                is_split_into_words=texts.has_words,
                verbose=False,
            )["input_ids"]
            if (
                store.batch([position], pad_id=0, max_length=max_length)["input_ids"].tolist()
                != own
            ):
                raise DataError(_other_tokens(texts.example_id(position), tokenizer))


def _other_tokens(example_id: str, tokenizer: Tokenizer) -> str:
    return (
        f"the tokenizer ({type(tokenizer).__name__}) adds special tokens in a way that depends on "
        f"the text or on its length (seen at {example_id}); texts are cut after they were "
        "tokenised, which such a tokenizer does not allow. Choose another model or tokenizer"
    )


def _warn_of_lost_spaces(tokenizer: Tokenizer) -> None:
    """Say so if the tokenizer reads a list of words as if they were written together."""
    plain = {"add_special_tokens": False, "verbose": False}
    as_words = tokenizer([["word", "word"]], is_split_into_words=True, **plain)["input_ids"]
    if as_words != tokenizer(["word word"], **plain)["input_ids"]:
        log.warning(
            "the tokenizer (%s) does not see the spaces between words, which it was trained "
            "with; load it with add_prefix_space=True",
            type(tokenizer).__name__,
        )
