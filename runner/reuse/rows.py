"""What a computation gives for some rows, and the plain form in which it is stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# numpy has no bfloat16: its bits are kept in 16-bit integers.
_STORED_AS: dict[torch.dtype, np.dtype] = {
    torch.float32: np.dtype(np.float32),
    torch.float16: np.dtype(np.float16),
    torch.bfloat16: np.dtype(np.uint16),
    torch.float64: np.dtype(np.float64),
    torch.uint8: np.dtype(np.uint8),
    torch.int64: np.dtype(np.int64),
}
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in _STORED_AS}

Array = Tensor | np.ndarray


class Ragged(NamedTuple):
    """Rows of unequal length, one after another.

    Attributes:
        flat: The steps of all rows, [sum of lengths, ...].
        lengths: Steps of each row, integers [n].
    """

    flat: Array
    lengths: Array


# Rows of equal shape [n, ...], or of unequal length.
Rows = Array | Ragged
# From positions, int64 [n], to their rows by cut.
Compute = Callable[[np.ndarray], Mapping[str, Rows]]


@dataclass(frozen=True)
class RowSpec:
    """What every row of a set looks like.

    Attributes:
        dtype: Torch's name of it, such as "bfloat16".
        shape: Of one row; of one step where rows are ragged.
        is_ragged: Whether rows have lengths of their own.
    """

    dtype: str
    shape: tuple[int, ...]
    is_ragged: bool

    @property
    def stored_as(self) -> np.dtype:
        """The type of the numbers in the file."""
        return _STORED_AS[self.torch_dtype]

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type of the numbers in tensors.

        Raises:
            KeyError: If there is no such type.
        """
        return _DTYPES[self.dtype]

    @property
    def unit_bytes(self) -> int:
        """Bytes of one row, or of one step where rows are ragged."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.stored_as.itemsize


@dataclass(frozen=True)
class Block:
    """The rows of a chunk as they are stored.

    Attributes:
        spec: What a row looks like.
        values: Rows, or the steps of all rows, contiguous.
        lengths: Steps of each row, int64 [n]; None where rows are of equal shape.
    """

    spec: RowSpec
    values: np.ndarray
    lengths: np.ndarray | None


def as_block(rows: Rows, count: int) -> Block:
    """Computed rows in stored form; moves them to the CPU.

    Raises:
        ValueError: If they are not `count` rows, or of a type that cannot be stored.
    """
    if isinstance(rows, Ragged):
        lengths = torch.as_tensor(rows.lengths).cpu().to(torch.int64).numpy()
        flat = torch.as_tensor(rows.flat)
        if len(lengths) != count or len(flat) != lengths.sum() or (lengths < 0).any():
            raise ValueError(
                f"{len(flat)} steps of {len(lengths)} rows with lengths that add up to "
                f"{lengths.sum()} were computed for {count} positions"
            )
        return Block(_spec(flat, is_ragged=True), stored(flat), lengths)
    values = torch.as_tensor(rows)
    if values.ndim == 0 or len(values) != count:
        raise ValueError(f"rows of shape {tuple(values.shape)} computed for {count} positions")
    return Block(_spec(values, is_ragged=False), stored(values), None)


def _spec(values: Tensor, *, is_ragged: bool) -> RowSpec:
    if values.dtype not in _STORED_AS:
        raise ValueError(f"features of type {values.dtype} cannot be stored")
    dtype = str(values.dtype).removeprefix("torch.")
    return RowSpec(dtype, tuple(values.shape[1:]), is_ragged)


def stored(values: Tensor) -> np.ndarray:
    """A tensor's numbers as an array of the type they are stored in."""
    plain = values.detach().cpu().contiguous()
    if plain.dtype == torch.bfloat16:
        plain = plain.view(torch.uint16)
    array: np.ndarray = plain.numpy()
    return array


def loaded(values: np.ndarray, dtype: torch.dtype) -> Tensor:
    """The tensor of stored numbers; shares their memory."""
    return torch.from_numpy(values).view(dtype)
