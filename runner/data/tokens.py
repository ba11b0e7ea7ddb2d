"""The token store: tokenised texts that give batches, cut and padded.

Texts are kept whole and without special tokens. A batch cuts them to the length it is asked for,
exactly as the tokenizer itself would have, so the longest length is a matter of the trial.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from runner.data.keeping import IN_MEMORY
from runner.data.text_batches import kept_sizes
from runner.data.token_layout import TokenLayout
from runner.data.token_table import TokenTable
from runner.errors import DataError


class TokenStore:
    """Tokenised texts that give padded batches.

    Attributes:
        lengths: Tokens of each text with its special tokens, before anything is cut, int32 [N].
        special_count: Special tokens that each text gets.
        word_counts: Words of each text, int32 [N]; None where the texts are not lists of words.
        kept: Where the tokens are kept, for people.
    """

    def __init__(self, table: TokenTable, layout: TokenLayout, kept: str = IN_MEMORY) -> None:
        self._table, self._layout, self.kept = table, layout, kept
        self.special_count = layout.special_count
        self.lengths = (table.sizes.sum(axis=1) + layout.special_count).astype(np.int32)
        self.word_counts = table.word_counts
        self._starts = _starts(table.sizes.sum(axis=1))
        self._word_starts = None if table.word_counts is None else _starts(table.word_counts)

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of all tokens."""
        return self._table.nbytes

    @property
    def pads_left(self) -> bool:
        """Whether shorter texts of a batch are padded in front."""
        return self._layout.pads_left

    def longer_than(self, max_length: int) -> int:
        """How many texts would lose tokens at this length."""
        return int((self.lengths > max_length).sum())

    def batch(
        self, positions: Sequence[int] | np.ndarray, *, pad_id: int, max_length: int | None = None
    ) -> dict[str, np.ndarray]:
        """These texts as a model takes them, padded to the longest of them.

        Args:
            positions: Which texts, [B].
            pad_id: Id of the padding token.
            max_length: Most tokens of a text, special ones included; longer ones are cut as the
                tokenizer cuts them (pairs: the longer one gives way). None cuts nothing.
        Returns:
            int64 arrays: `input_ids` and `attention_mask` [B, L]; `token_type_ids` [B, L] where
            the model takes them; and, where texts are lists of words, `word_positions` [B, W],
            the place in [0, L) of each word's first token. It is -1 for words whose first token
            was cut off, for words that the tokenizer makes no token of (an empty one, a lone
            control character) and beyond the last word.
        Raises:
            DataError: If not even one token fits beside the special ones.
        Shapes: B texts, L tokens of the longest, W words of the text with the most.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        kept = self._kept(chosen, max_length)
        totals = kept.sum(axis=1) + self.special_count
        width, layout = int(totals.max(initial=0)), self._layout
        starts = width - totals if layout.pads_left else np.zeros_like(totals)
        rows = [
            (slice(start, start + total), self._sequences(position, row_kept))
            for start, total, position, row_kept in zip(
                starts.tolist(), totals.tolist(), chosen.tolist(), kept.tolist(), strict=True
            )
        ]
        batch = {
            "input_ids": _padded(((span, layout.ids(s)) for span, s in rows), width, fill=pad_id),
            "attention_mask": _padded(((span, 1) for span, _ in rows), width, fill=0),
        }
        if layout.types is not None:
            types = ((span, layout.token_types(s)) for span, s in rows)
            batch["token_type_ids"] = _padded(types, width, fill=layout.pad_type)
        if self.word_counts is not None:
            batch["word_positions"] = self._word_positions(chosen, kept[:, 0], starts)
        return batch

    def _kept(self, chosen: np.ndarray, max_length: int | None) -> np.ndarray:
        """Tokens that stay of each sequence, [B, 2]."""
        sizes: np.ndarray = self._table.sizes[chosen]
        if max_length is None:
            return sizes.astype(np.int64)
        room = max_length - self.special_count
        if room < 1:
            raise DataError(
                f"a length of {max_length} tokens leaves no room beside the "
                f"{self.special_count} special ones; raise max_length"
            )
        return kept_sizes(sizes, room)

    def _sequences(self, position: int, kept: list[int]) -> list[np.ndarray]:
        """What stays of the ids of a text's one or two sequences."""
        first, second = self._table.sizes[position].tolist()
        start = self._starts[position]
        bounds = [(start, first), (start + first, second)]
        return [
            self._table.ids[begin + size - keep : begin + size]
            if self._layout.cuts_left
            else self._table.ids[begin : begin + keep]
            for (begin, size), keep in zip(bounds, kept, strict=True)
        ][: 1 + self._layout.is_pair]

    def _word_positions(
        self, chosen: np.ndarray, kept: np.ndarray, starts: np.ndarray
    ) -> np.ndarray:
        """First token of each word in the padded rows, [B, W], -1 where there is none."""
        table, word_starts = self._table, self._word_starts
        assert table.words is not None
        assert table.word_counts is not None
        assert word_starts is not None
        counts = table.word_counts[chosen]
        shown = np.full((len(chosen), int(counts.max(initial=0))), -1, np.int64)
        for row, position in enumerate(chosen.tolist()):
            begin = word_starts[position]
            places = table.words[begin : begin + counts[row]].astype(np.int64)
            gone = table.sizes[position, 0] - kept[row] if self._layout.cuts_left else 0
            is_there = (places >= gone) & (places < gone + kept[row])
            moved = places - gone + len(self._layout.specials[0]) + starts[row]
            shown[row, : counts[row]] = np.where(is_there, moved, -1)
        return shown


def _starts(counts: np.ndarray) -> np.ndarray:
    """Where each text's entries begin in a flat array, int64 [N]."""
    starts: np.ndarray = np.cumsum(counts, dtype=np.int64) - counts
    return starts


def _padded(
    rows: Iterable[tuple[slice, np.ndarray | int]], width: int, *, fill: int
) -> np.ndarray:
    """Rows of values, each where its slice says, int64 [B, width]."""
    padded = []
    for span, values in rows:
        row = np.full(width, fill, np.int64)
        row[span] = values
        padded.append(row)
    return np.stack(padded) if padded else np.zeros((0, width), np.int64)
