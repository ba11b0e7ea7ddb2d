"""Features in place of examples: what frozen layers give, ready for the layers that train."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from runner import reuse
from runner.experiment import Recipe
from runner.trial.memory import Residency
from runner.trial.modality import Batch, Inputs, Moment

FEATURES = "features"


class FeatureRows(Protocol):
    """The features of one part in one view."""

    def gather(self, rows: Tensor, *, device: torch.device) -> Tensor:
        """Rows by number, [B, ...], or padded with zeros behind where they are of texts."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows, [N, ...]."""
        ...


@dataclass(frozen=True)
class HostRows:
    """Features in this machine's memory, or in a mapped file.

    Attributes:
        features: The rows as the store has them.
        is_channels_last: Whether they are stored as [N, H, W, C].
    """

    features: reuse.Features
    is_channels_last: bool

    def gather(self, rows: Tensor, *, device: torch.device) -> Tensor:
        """See `FeatureRows.gather`."""
        found = self.features.gather(rows)
        if device.type == "cuda":
            found = found.pin_memory()
        return _ordered(found.to(device, non_blocking=True), self.is_channels_last)

    @property
    def shape(self) -> tuple[int, ...]:
        """See `FeatureRows.shape`."""
        return self.features.shape


@dataclass(frozen=True)
class ResidentRows:
    """Features that lie on the device that trains.

    Attributes:
        values: All rows, [N, ...].
        is_channels_last: Whether they are stored as [N, H, W, C].
    """

    values: Tensor
    is_channels_last: bool

    def gather(self, rows: Tensor, *, device: torch.device) -> Tensor:
        """See `FeatureRows.gather`."""
        chosen = rows.to(self.values.device, non_blocking=True)
        return _ordered(self.values[chosen], self.is_channels_last)

    @property
    def shape(self) -> tuple[int, ...]:
        """See `FeatureRows.shape`."""
        return tuple(self.values.shape)


def rows_on(
    features: reuse.Features,
    device: torch.device,
    *,
    is_channels_last: bool,
    residency: Residency,
) -> FeatureRows:
    """Features where they are best read from: on a GPU that has room for them, else the host."""
    if features.lengths is None and residency.take(features.nbytes, device):
        return ResidentRows(features.all().to(device), is_channels_last)
    return HostRows(features, is_channels_last)


def _ordered(values: Tensor, is_channels_last: bool) -> Tensor:
    return values.permute(0, 3, 1, 2) if is_channels_last else values


@dataclass(frozen=True)
class FeatureInputs:
    """One part of the split as features; see `Inputs`.

    Attributes:
        plain: The same part as it is.
        views: Its features, one for each fixed view, at least one.
        rows: Where each position of the part lies in them, int64 [N].
    """

    plain: Inputs
    views: tuple[FeatureRows, ...]
    rows: Tensor

    def __len__(self) -> int:
        return len(self.plain)

    @property
    def lengths(self) -> np.ndarray | None:
        """See `Inputs.lengths`: batches are the same as without features."""
        return self.plain.lengths

    @property
    def pads_left(self) -> bool:
        """See `Inputs.pads_left`."""
        return self.plain.pads_left

    @property
    def kept(self) -> str:
        """Of the examples that the features were made from; see `Inputs.kept`."""
        return self.plain.kept

    @property
    def nbytes(self) -> int:
        """See `Inputs.nbytes`."""
        return self.plain.nbytes

    def train_batch(
        self, chosen: Tensor, recipe: Recipe, *, moment: Moment, rows: Tensor | None = None
    ) -> Batch:
        """The features of the epoch's view; see `Inputs.train_batch`."""
        view = self.views[moment.epoch % len(self.views)]
        made = chosen if rows is None else chosen[rows]
        return self._batch(made, recipe, view, moment.device)

    def eval_batch(self, chosen: Tensor, recipe: Recipe, *, device: torch.device) -> Batch:
        """The features of the first view; see `Inputs.eval_batch`."""
        return self._batch(chosen, recipe, self.views[0], device)

    def beside(self, chosen: Tensor, recipe: Recipe, *, device: torch.device) -> Batch:
        """See `Inputs.beside`."""
        return self.plain.beside(chosen, recipe, device=device)

    def release(self) -> None:
        """See `Inputs.release`; features go with their trial."""
        self.plain.release()

    def whole(self, device: torch.device) -> Tensor:
        """All of it on a device, in the order of the part: [V, N, ...], V views."""
        first = self.views[0].gather(self.rows, device=device).to(device)
        if len(self.views) == 1:
            return first.unsqueeze(0)
        # View by view: not twice as much for a moment.
        found = first.new_empty((len(self.views), *first.shape))
        found[0] = first
        for number, view in enumerate(self.views[1:], start=1):
            found[number] = view.gather(self.rows, device=device)
        return found

    def _batch(
        self, chosen: Tensor, recipe: Recipe, view: FeatureRows, device: torch.device
    ) -> Batch:
        features = view.gather(self.rows[chosen], device=device)
        return {FEATURES: features, **self.beside(chosen, recipe, device=device)}
