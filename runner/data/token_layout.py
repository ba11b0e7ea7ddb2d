"""Where a tokenizer puts special tokens around a text or a pair, and on which side it cuts."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from runner.errors import DataError

_PROBES = ("text", "1", "文")  # at least one of them is more than nothing to any tokenizer


class Tokenizer(Protocol):
    """What is asked of a tokenizer: the interface of transformers' fast ones."""

    @property
    def model_input_names(self) -> Sequence[str]:
        """Inputs of its model; whether `token_type_ids` is one of them."""

    @property
    def padding_side(self) -> str:
        """`left` or `right`."""

    @property
    def truncation_side(self) -> str:
        """`left` or `right`."""

    @property
    def pad_token_type_id(self) -> int:
        """Token type of padding."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Tokenise a list of texts, pairs or lists of words."""


@dataclass(frozen=True, slots=True)
class Special:
    """A token that the tokenizer adds.

    Attributes:
        id: Index in the vocabulary.
        type: Its token type.
    """

    id: int
    type: int


@dataclass(frozen=True)
class TokenLayout:
    """How one example's tokens are put together.

    Attributes:
        specials: Special tokens before, between and after the sequences: two runs around a
            single text, three around a pair.
        types: Token type of each sequence; None where the model takes no token types.
        pad_type: Token type of padding.
        pads_left: Whether padding comes first.
        cuts_left: Whether the beginning is cut off and not the end.
    """

    specials: tuple[tuple[Special, ...], ...]
    types: tuple[int, ...] | None
    pad_type: int = 0
    pads_left: bool = False
    cuts_left: bool = False

    @property
    def is_pair(self) -> bool:
        """Whether each example has two sequences."""
        return len(self.specials) == 3

    @property
    def special_count(self) -> int:
        """Special tokens of each example."""
        return sum(len(run) for run in self.specials)

    def ids(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Token ids of one example; `sequences` holds those of its one or two sequences."""
        runs = [[special.id for special in run] for run in self.specials]
        return _interleaved([np.array(run, np.int64) for run in runs], sequences)

    def token_types(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Token types of one example, [tokens]; only where the model takes them."""
        assert self.types is not None
        runs = [[special.type for special in run] for run in self.specials]
        filled = [np.full(len(s), t) for s, t in zip(sequences, self.types, strict=True)]
        return _interleaved([np.array(run, np.int64) for run in runs], filled)


def _interleaved(runs: Sequence[np.ndarray], sequences: Sequence[np.ndarray]) -> np.ndarray:
    """Run, sequence, run, ..., run as one array, int64."""
    pieces = itertools.chain.from_iterable(itertools.zip_longest(runs, sequences))
    return np.concatenate([piece for piece in pieces if piece is not None])


def layout_of(tokenizer: Tokenizer, *, is_pair: bool) -> TokenLayout:
    """The layout a tokenizer gives to single texts or to pairs, read off an example.

    Raises:
        DataError: If the tokenizer makes no token of an example.
    """
    sequence_count = 2 if is_pair else 1
    for probe in _PROBES:
        texts = [[probe]] * sequence_count
        encoded = tokenizer(*texts, return_token_type_ids=True, verbose=False)
        places = encoded.sequence_ids(0)
        if set(range(sequence_count)) <= set(places):
            ids, types = encoded["input_ids"][0], encoded["token_type_ids"][0]
            return _layout(tokenizer, places, ids, types, sequence_count=sequence_count)
    raise DataError(f"the tokenizer makes no token of any of {', '.join(map(repr, _PROBES))}")


def _layout(
    tokenizer: Tokenizer,
    places: Sequence[int | None],
    ids: Sequence[int],
    types: Sequence[int],
    *,
    sequence_count: int,
) -> TokenLayout:
    """The layout of an example whose token i is of the sequence `places[i]`, None if special."""
    runs: list[list[Special]] = [[] for _ in range(sequence_count + 1)]
    for index, place in enumerate(places):
        if place is None:
            seen = [earlier for earlier in places[:index] if earlier is not None]
            runs[max(seen, default=-1) + 1].append(Special(ids[index], types[index]))
    return TokenLayout(
        specials=tuple(tuple(run) for run in runs),
        types=tuple(types[places.index(sequence)] for sequence in range(sequence_count))
        if "token_type_ids" in tokenizer.model_input_names
        else None,
        pad_type=tokenizer.pad_token_type_id,
        pads_left=tokenizer.padding_side == "left",
        cuts_left=tokenizer.truncation_side == "left",
    )
