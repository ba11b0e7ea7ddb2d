"""Tokens of many texts as flat arrays, and the file they are kept in.

Layout of the file, little-endian:
    int32 [T]      token ids of all texts without special tokens, one text after the other
    int32 [N, 2]   tokens of the first and of the second sequence of each text
    int32 [N]      words of each text, where there are words
    int32 [M]      place of each word's first token in its text, -1 for a word without a token
    int64 [4]      N, T, M (-1 where there are no words), the version of this layout
    8 bytes        the mark; a file that does not end with it was cut short
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

_MARK = b"RUNNTOKS"
_VERSION = 1
_END_BYTES = 4 * 8 + len(_MARK)


class Writable(Protocol):
    """What takes bytes, one piece after the other."""

    def write(self, content: bytes, /) -> object:
        """Add to the end."""


@dataclass(frozen=True)
class TokenTable:
    """Token ids of texts, ragged; with places of words where the texts are lists of words.

    Attributes:
        ids: int32 [T], without special tokens.
        sizes: int32 [N, 2], tokens of the first and second sequence; 0 where there is none.
        word_counts: int32 [N], or None.
        words: int32 [M], place of each word's first token within its text, or -1; or None.
    Shapes: N texts, T tokens, M words.
    """

    ids: np.ndarray
    sizes: np.ndarray
    word_counts: np.ndarray | None = None
    words: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.ids, self.sizes, self.word_counts, self.words)
        return sum(array.nbytes for array in arrays if array is not None)


def write_table(file: Writable, chunks: Iterable[TokenTable]) -> None:
    """Write the texts of some tables one after the other; ids leave memory at once."""
    sizes, counts, words = [np.zeros((0, 2), np.int32)], [], []
    for chunk in chunks:
        file.write(chunk.ids.astype("<i4").tobytes())
        sizes.append(chunk.sizes)
        if chunk.word_counts is not None and chunk.words is not None:
            counts.append(chunk.word_counts)
            words.append(chunk.words)
    parts = [np.concatenate(part) for part in (sizes, counts, words) if part]
    for part in parts:
        file.write(part.astype("<i4").tobytes())
    texts, tokens = len(parts[0]), int(parts[0].sum(dtype=np.int64))
    word_count = len(parts[2]) if words else -1
    file.write(np.array([texts, tokens, word_count, _VERSION], "<i8").tobytes() + _MARK)


def in_memory(chunks: Iterable[TokenTable]) -> TokenTable:
    """One table of some, in memory."""
    file = io.BytesIO()
    write_table(file, chunks)
    table = parse_table(np.frombuffer(file.getbuffer(), np.uint8))
    assert table is not None
    return table


def parse_table(content: np.ndarray) -> TokenTable | None:
    """The arrays in the bytes of a file, not copied; None where they do not fit one another."""
    if len(content) < _END_BYTES or content[-len(_MARK) :].tobytes() != _MARK:
        return None
    end = content[-_END_BYTES : -len(_MARK)].view("<i8").tolist()
    texts, tokens, word_count, version = end
    has_words = word_count >= 0
    counts = [tokens, 2 * texts, *([texts, word_count] if has_words else [])]
    if version != _VERSION or 4 * sum(counts) + _END_BYTES != len(content) or min(counts) < 0:
        return None
    flat = content[:-_END_BYTES].view("<i4")
    ids, sizes, *rest = np.split(flat, np.cumsum(counts)[:-1])
    table = TokenTable(ids, sizes.reshape(-1, 2), *rest)
    return table if _agrees(table) else None


def _agrees(table: TokenTable) -> bool:
    """Whether the counts add up to what is there."""
    if table.sizes.sum(dtype=np.int64) != len(table.ids):
        return False
    if table.word_counts is None or table.words is None:
        return True
    return bool(table.word_counts.sum(dtype=np.int64) == len(table.words))
