"""What is asked of the store in one call."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from runner.reuse.chunks import Extent
from runner.reuse.rows import Block, Compute, as_block
from runner.reuse.set_file import set_bytes


@dataclass(frozen=True)
class Order:
    """Sets of the same rows at several cuts, and how to compute them.

    Attributes:
        extent: The rows.
        targets: Where each cut's finished set lies.
        row_bytes: What a row takes at each cut; ragged: a mean row.
        compute: From positions to their rows, at all cuts of `targets`.
        is_wanted: Called between chunks and while waiting; raises if nobody wants the rest.
    """

    extent: Extent
    targets: Mapping[str, Path]
    row_bytes: Mapping[str, int]
    compute: Compute
    is_wanted: Callable[[], None]

    def only(self, cuts: Iterable[str]) -> "Order":
        """The same for fewer cuts."""
        return replace(self, targets={cut: self.targets[cut] for cut in cuts})

    def bytes_of(self, cut: str) -> int:
        """What a cut's set takes on disk."""
        return set_bytes(self.extent, self.row_bytes[cut])

    @property
    def bytes(self) -> int:
        """What the sets of all cuts take together."""
        return sum(self.bytes_of(cut) for cut in self.targets)

    def blocks(self, chunk: int) -> dict[str, Block]:
        """Compute the rows of a chunk at every cut.

        Raises:
            ValueError: If the computation leaves out a cut, or gives other than one row each.
        """
        positions: np.ndarray = self.extent.positions(chunk)
        computed = self.compute(positions)
        if left_out := [cut for cut in self.targets if cut not in computed]:
            raise ValueError(f"no rows were computed for the cut {', '.join(left_out)}")
        return {cut: as_block(computed[cut], len(positions)) for cut in self.targets}
