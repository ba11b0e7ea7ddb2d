"""Squares of many images: kept, or decoded whenever they are asked for."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Protocol

import numpy as np

from runner.data.example import Source
from runner.data.squares import centre_square

_CHUNK = 256  # images decoded side by side before they are written


class Squares(Protocol):
    """The squares of one part of the data, in its order.

    Attributes:
        kept: Where they are kept, or that they are decoded in every epoch and why; for people.
    """

    kept: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, R, R, 3)."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        ...

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Some of them by position, uint8 [B, R, R, 3], in an array of their own.

        Raises:
            DataError: If a file changed or vanished since the source was opened.
        """
        ...


class KeptSquares:
    """Squares in memory, or in a mapped file; see `Squares`."""

    def __init__(self, values: np.ndarray, kept: str) -> None:
        self._values, self.kept = values, kept

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Squares.shape`."""
        return self._values.shape

    @property
    def nbytes(self) -> int:
        """See `Squares.nbytes`."""
        return self._values.nbytes

    def take(self, positions: np.ndarray) -> np.ndarray:
        """See `Squares.take`."""
        return np.asarray(np.take(self._values, positions, axis=0))


class FreshSquares:
    """Squares that are decoded each time they are asked for; see `Squares`."""

    def __init__(
        self,
        source: Source,
        indices: Sequence[int],
        *,
        resolution: int,
        interpolation: str,
        threads: int,
    ) -> None:
        """Begin without decoding anything.

        Args:
            source: Gives the images.
            indices: Positions in the source.
            resolution: Side of the squares, pixels.
            interpolation: bilinear, bicubic or nearest.
            threads: Threads that decode.
        """
        self._source, self._indices = source, indices
        self._resolution, self._interpolation = resolution, interpolation
        self._threads, self.kept = threads, "decoded in every epoch"

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Squares.shape`."""
        return (len(self._indices), self._resolution, self._resolution, 3)

    @property
    def nbytes(self) -> int:
        """See `Squares.nbytes`."""
        return int(np.prod(self.shape))

    def take(self, positions: np.ndarray) -> np.ndarray:
        """See `Squares.take`."""
        taken = np.empty((len(positions), *self.shape[1:]), np.uint8)
        asked = [self._indices[position] for position in positions.tolist()]
        for row, square in enumerate(self._map(self._square, asked)):
            taken[row] = square
        return taken

    def _square(self, index: int) -> np.ndarray:
        image = self._source.image(index, enough=self._resolution)
        return centre_square(image, resolution=self._resolution, interpolation=self._interpolation)

    @cached_property
    def _map(self) -> Callable[..., Iterator[np.ndarray]]:
        # Threads that stay: a batch is asked for at every step.
        return ThreadPoolExecutor(self._threads).map if self._threads > 1 else map


def in_chunks(squares: Squares) -> Iterator[np.ndarray]:
    """All squares in their order, some hundred at a time."""
    count = squares.shape[0]
    for start in range(0, count, _CHUNK):
        yield squares.take(np.arange(start, min(start + _CHUNK, count)))
