"""What can be cut, and what a cut costs."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

PIXELS = "pixels"
"""What a batch of images calls them."""


class Splitting(Protocol):
    """Where models of one structure can be cut; holds names, no tensors, so any copy fits."""

    @property
    def cuts(self) -> tuple[int, ...]:
        """Freeze depths at which the model can be cut, ascending."""
        ...

    def prefix(
        self, model: nn.Module, batch: Mapping[str, Tensor], cuts: Collection[int]
    ) -> dict[int, Tensor]:
        """The features at some of the cuts, from one forward pass."""
        ...

    def suffix(
        self, model: nn.Module, features: Tensor, batch: Mapping[str, Tensor], *, cut: int
    ) -> Tensor:
        """The model's outputs from the features at one of the cuts."""
        ...


@dataclass(frozen=True)
class NoSplitting:
    """Of a model that cannot be cut."""

    @property
    def cuts(self) -> tuple[int, ...]:
        """None."""
        return ()

    def prefix(
        self, model: nn.Module, batch: Mapping[str, Tensor], cuts: Collection[int]
    ) -> dict[int, Tensor]:
        """Nothing: no cut can be asked for."""
        return {}

    def suffix(
        self, model: nn.Module, features: Tensor, batch: Mapping[str, Tensor], *, cut: int
    ) -> Tensor:
        """Never asked for: there is no cut.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"cut {cut}: the model cannot be cut")


@dataclass(frozen=True)
class CutShape:
    """What the features of one example look like at a cut.

    Attributes:
        shape: Without the batch's dimension; of a text [L, H] where `is_per_token`.
        dtype: As the forward pass left it.
        is_per_token: Whether the first dimension counts the tokens of that example, so that
            examples differ in it.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    is_per_token: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of one example, or of one token where `is_per_token`."""
        row = self.shape[1:] if self.is_per_token else self.shape
        return math.prod(row) * self.dtype.itemsize
