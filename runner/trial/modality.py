"""What examples are made of, as a trial sees it: images and texts behind one face."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from runner import data, models
from runner.experiment import Recipe
from runner.trial.job import Finding
from runner.trial.precision import Numerics

Batch = dict[str, Tensor]
"""What a model takes, by name; the first dimension of each tensor counts examples."""

# Words that a text's limit cut off: the modality says which, the targets then leave them out.
WORD_POSITIONS = "word_positions"


@dataclass(frozen=True)
class Moment:
    """When a training batch is made, and for where.

    Attributes:
        epoch: Counted from 0.
        generator: The epoch's source of randomness, on the CPU.
        device: Where the batch goes.
    """

    epoch: int
    generator: torch.Generator
    device: torch.device


class Inputs(Protocol):
    """The prepared examples of one part of the split."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> np.ndarray | None:
        """What each example costs, shape [N] int32 (tokens); None where all cost the same."""
        ...

    @property
    def pads_left(self) -> bool:
        """Whether shorter examples of a batch are padded in front, as some tokenizers do."""
        ...

    @property
    def kept(self) -> str:
        """Where the prepared examples are kept, or how else they are come by; for people."""
        ...

    @property
    def nbytes(self) -> int:
        """What they take there, or would take."""
        ...

    def train_batch(
        self, chosen: Tensor, recipe: Recipe, *, moment: "Moment", rows: Tensor | None = None
    ) -> Batch:
        """A training batch, randomly changed as the recipe asks.

        Args:
            chosen: Positions in this part, shape [B], int64.
            recipe: The trial's.
            moment: When in the trial, and where the batch goes.
            rows: Which of these are made, shape [R], int64, as they would be among all; None: all.
        """
        ...

    def eval_batch(self, chosen: Tensor, recipe: Recipe, *, device: torch.device) -> Batch:
        """A batch as it is evaluated, without any randomness."""
        ...

    def beside(self, chosen: Tensor, recipe: Recipe, *, device: torch.device) -> Batch:
        """What later layers need beside the outputs of earlier ones: the masks of texts."""
        ...

    def release(self) -> None:
        """Keep nothing on a device; it is put there again when it is next needed."""
        ...


class Modality(Protocol):
    """Examples of one kind, and the models that take them. Loads on first use, changes nothing."""

    @property
    def source(self) -> data.Labelled:
        """The examples."""
        ...

    @property
    def weights(self) -> models.Weights | None:
        """The pretrained weights, or None for random initialisation."""
        ...

    def problems(self) -> Iterator[Finding]:
        """What is wrong with the model settings, before anything large is loaded."""
        ...

    def prepared_problems(self) -> Iterator[Finding]:
        """What only the model and the data together can show."""
        ...

    def inputs(self, positions: Sequence[int]) -> Inputs:
        """The examples at these positions of the source, prepared."""
        ...

    def build_model(self, recipe: Recipe, *, outputs: int, seed: int) -> nn.Module:
        """A fresh model with the pretrained weights and a new head of that many outputs."""
        ...

    def forward(self, model: nn.Module, batch: Batch, numerics: Numerics) -> Tensor:
        """The model's outputs: [B, C], or for tags [B, W, C]."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What people may want to know about the preparation."""
        ...

    def fingerprints(self) -> Mapping[str, str]:
        """What else, beside data, split and weights, makes a study another one, by name."""
        ...

    def preparation(self, recipe: Recipe) -> Mapping[str, Any]:
        """All that decides a batch but the examples and the random view, as JSON values."""
        ...

    def notes(self) -> Iterator[str]:
        """Sentences that a user should read before the search."""
        ...


def rows_of(batch: Batch, start: int, stop: int) -> Batch:
    """The examples of a batch from one position to another."""
    return {name: tensor[start:stop] for name, tensor in batch.items()}
