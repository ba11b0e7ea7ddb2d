"""The canonical chunks of a set: who computes it never changes what is computed together."""

from dataclasses import dataclass

import numpy as np

# Rows of one call of the computation. Floating-point sums depend on the size of a batch, so this
# is part of what a set is. Large enough for a GPU or a core to be busy, small enough to share.
CHUNK_ROWS = 64


@dataclass(frozen=True)
class Extent:
    """The rows of a set and how they are cut into chunks.

    Attributes:
        count: Rows.
        chunk_rows: Rows of each chunk but the last.
    """

    count: int
    chunk_rows: int

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.count // self.chunk_rows)

    def positions(self, chunk: int) -> np.ndarray:
        """The rows of a chunk, int64 [n]."""
        start = chunk * self.chunk_rows
        return np.arange(start, min(start + self.chunk_rows, self.count), dtype=np.int64)
