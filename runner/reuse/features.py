"""Features as a trial sees them: rows by position, from memory or from a mapped file."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from runner.reuse.rows import RowSpec, loaded

# Sets up to this size are loaded whole: a gather is then free of page faults and of the disk.
IN_MEMORY_BYTES = 256 * 2**20


class Features(Protocol):
    """The rows of one part of the data at one cut; read-only."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows: [N, ...], or [N, longest, ...] where they are ragged."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers themselves, without padding."""
        ...

    @property
    def lengths(self) -> Tensor | None:
        """Steps of each row, int64 [N]; None where all rows have one shape."""
        ...

    @property
    def is_in_memory(self) -> bool:
        """Whether the set is in this process's memory, and not a mapped file."""
        ...

    def gather(self, positions: Tensor) -> Tensor:
        """Rows by position, in a tensor of their own.

        Args:
            positions: int64 [B], each in [0, N).
        Returns:
            [B, ...]; ragged rows are padded with zeros behind to the longest of them, [B, L, ...].
        Raises:
            IndexError: If there is no such row.
        """
        ...

    def all(self) -> Tensor:
        """Every row, as `gather` gives them; not to be written to: it may be the store's own."""
        ...


@dataclass(frozen=True, eq=False)
class DenseFeatures:
    """Rows of one shape; see `Features`.

    Attributes:
        spec: What a row looks like.
        values: All rows as stored, [N, ...].
        is_in_memory: Whether `values` is memory of this process.
    """

    spec: RowSpec
    values: np.ndarray
    is_in_memory: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows, [N, ...]."""
        return self.values.shape

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers."""
        return self.spec.torch_dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.values.nbytes

    @property
    def lengths(self) -> None:
        """None: all rows have one shape."""
        return None

    def gather(self, positions: Tensor) -> Tensor:
        """Rows by position, [B, ...]."""
        # As quick as memory copies: measured against fancy indexing, torch's indexing and loops.
        return loaded(np.take(self.values, positions.cpu().numpy(), axis=0), self.dtype)

    def all(self) -> Tensor:
        """Every row, [N, ...]; a copy where they are in a mapped file."""
        values = self.values if self.is_in_memory else np.array(self.values)
        return loaded(values, self.dtype)


@dataclass(frozen=True, eq=False)
class RaggedFeatures:
    """Rows of unequal length; see `Features`.

    Attributes:
        spec: What a step looks like.
        values: The steps of all rows as stored, in any order of the rows, [S, ...].
        starts: First step of each row in `values`, int64 [N].
        counts: Steps of each row, int64 [N].
        is_in_memory: Whether `values` is memory of this process.
    """

    spec: RowSpec
    values: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    is_in_memory: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows when padded, [N, longest, ...]."""
        return (len(self.counts), int(self.counts.max(initial=0)), *self.spec.shape)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers."""
        return self.spec.torch_dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all steps."""
        return self.values.nbytes

    @property
    def lengths(self) -> Tensor:
        """Steps of each row, int64 [N]."""
        return torch.from_numpy(self.counts)

    def gather(self, positions: Tensor) -> Tensor:
        """Rows by position, padded with zeros behind, [B, L, ...]."""
        chosen = positions.cpu().numpy()
        counts, starts = self.counts[chosen], self.starts[chosen]
        shape = (len(chosen), int(counts.max(initial=0)), *self.spec.shape)
        padded = np.zeros(shape, self.values.dtype)
        for row, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
            padded[row, :count] = self.values[start : start + count]
        return loaded(padded, self.dtype)

    def all(self) -> Tensor:
        """Every row, padded, [N, longest, ...]; a copy."""
        return self.gather(torch.arange(len(self.counts)))
