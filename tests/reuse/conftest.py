"""Computations that tests of the store share."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from runner.reuse import Ragged, Rows

CUTS = ("dense", "ragged")
ROW_BYTES = {"dense": 5 * 4, "ragged": 2 * 3 * 4}


@dataclass
class Counting:
    """Rows that tell where they belong, and the chunks that were asked for.

    Attributes:
        chunks: First position of each call.
        before: Called with the positions before anything is computed.
    """

    chunks: list[int] = field(default_factory=list)
    before: Callable[[np.ndarray], None] = lambda positions: None

    def __call__(self, positions: np.ndarray) -> dict[str, Rows]:
        """A row of five numbers, and zero to four steps of three, for each position."""
        self.before(positions)
        self.chunks.append(int(positions[0]))
        return rows_at(torch.from_numpy(positions))


def rows_at(positions: torch.Tensor) -> dict[str, Rows]:
    """What belongs to these positions, each row and step different."""
    values = positions.to(torch.float32)
    lengths = positions % 5
    owners = torch.repeat_interleave(values, lengths)
    step = torch.arange(len(owners)) - torch.repeat_interleave(
        torch.cumsum(lengths, 0) - lengths, lengths
    )
    return {
        "dense": values[:, None] + torch.arange(5) / 10,
        "ragged": Ragged((owners + step / 10)[:, None].expand(-1, 3), lengths),
    }


def padded(rows: Ragged) -> torch.Tensor:
    """Ragged rows as they are gathered: a plain loop to compare with."""
    flat, lengths = torch.as_tensor(rows.flat), torch.as_tensor(rows.lengths)
    shown = torch.zeros(len(lengths), int(lengths.max()), *flat.shape[1:], dtype=flat.dtype)
    for row, steps in enumerate(torch.split(flat, lengths.tolist())):
        shown[row, : len(steps)] = steps
    return shown


@pytest.fixture
def counting() -> Counting:
    return Counting()
