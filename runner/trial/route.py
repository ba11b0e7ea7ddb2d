"""How a trial's batches become outputs: by the whole model, or by what follows shared features."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runner import models, reuse
from runner.experiment import IntParameter, Recipe
from runner.trial.bench import Bench, Built, Part
from runner.trial.features import FEATURES, FeatureInputs, rows_on
from runner.trial.memory import is_out_of_memory
from runner.trial.modality import Batch, Moment
from runner.trial.possible import possible_values
from runner.trial.precision import Numerics
from runner.trial.sharing import obstacle

logger = logging.getLogger(__name__)

Forward = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Route:
    """How a trial computes.

    Attributes:
        train, validation: The parts it reads: as they are, or as features.
        forward: A model's outputs for a batch of them.
        cut: Layer groups that the features are the outputs of; None without features.
        note: Which way this is, and why, for people.
    """

    train: Part
    validation: Part
    forward: Forward
    cut: int | None
    note: str


def plain_route(bench: Bench, numerics: Numerics, *, why: str) -> Route:
    """Every batch goes through the whole model."""
    forward = partial(bench.modality.forward, numerics=numerics)
    return Route(bench.train, bench.validation, forward, None, f"plain: {why}")


def choose_route(
    bench: Bench,
    recipe: Recipe,
    built: Built,
    *,
    numerics: Numerics,
    threads: int,
    is_wanted: Callable[[], None],
) -> Route:
    """The way that computes least and gives the same result; makes features that are not there.

    Args:
        bench: Data and model.
        recipe: The trial's.
        built: Its model as it starts, placed on the device: nothing of it has been trained.
        numerics: How it computes.
        threads: With how many threads, which decides the last bits of a result.
        is_wanted: Called while features are made; may raise.
    """
    why = obstacle(bench.experiment, recipe, groups=built.groups.count)
    if why is not None:
        return plain_route(bench, numerics, why=why)
    making = _Making(bench, recipe, built, numerics, threads, is_wanted)
    cut = max((c for c in making.cuts if c <= built.depth), default=None)
    if cut is None:
        return plain_route(bench, numerics, why=making.why_no_cut())
    try:
        return _featured(making, cut)
    except reuse.TooLarge as error:
        return plain_route(bench, numerics, why=str(error))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return plain_route(bench, numerics, why="no memory to make features with")


def _featured(making: "_Making", cut: int) -> Route:
    recipe, count = making.recipe, making.built.groups.count
    views = list(range(recipe.views or 1)) if recipe.augmentation != "none" else [None]
    if making.bench.train.inputs.lengths is not None:
        views = [None]
    train = making.part(making.bench.train, cut, views)
    validation = making.part(making.bench.validation, cut, [None])
    where = "the head" if cut == count else f"layer group {cut} of {count}"
    counted = f", {len(views)} views" if len(views) > 1 else ""
    forward = partial(_suffix, cut=cut)
    return Route(train, validation, forward, cut, f"features at {where}{counted}")


def _suffix(model: nn.Module, batch: Batch, *, cut: int) -> Tensor:
    return models.run_suffix(model, batch[FEATURES], batch, cut=cut)


@dataclass
class _Making:
    """Makes the features of one trial, at all cuts that trials of the study may want."""

    bench: Bench
    recipe: Recipe
    built: Built
    numerics: Numerics
    threads: int
    is_wanted: Callable[[], None]

    def __post_init__(self) -> None:
        self._model = self.built.model
        self._shapes: Mapping[int, models.CutShape] = {}
        self.possible = models.cut_points(self._model, self.built.groups)
        wanted = [cut for cut in self.possible if cut in _asked_cuts(self)]
        if wanted:
            self._shapes = self._cut_shapes()
        self.cuts = self._affordable(wanted)

    def why_no_cut(self) -> str:
        """Why no cut can be used at this depth."""
        below = [cut for cut in self.possible if cut <= self.built.depth]
        if not below:
            return f"{self.bench.experiment.model.name} cannot be cut after its frozen layers"
        needed = self._bytes(max(below)) / 2**30
        limit = self.bench.experiment.reuse.gib
        return f"features need {needed:.1f} GiB, and reuse.gib is {limit:g}"

    def part(self, part: Part, cut: int, views: Sequence[int | None]) -> Part:
        """A part of the split as features at a cut, in each of the views."""
        order = _by_length(part)
        made = tuple(self._features(part, order, view)[str(cut)] for view in views)
        device = self.numerics.device
        is_last = self._is_channels_last(cut)
        rows = tuple(rows_on(each, device, is_channels_last=is_last) for each in made)
        return replace(part, inputs=FeatureInputs(part.inputs, rows, torch.argsort(order)))

    def _features(
        self, part: Part, order: Tensor, view: int | None
    ) -> Mapping[str, reuse.Features]:
        lengths = part.inputs.lengths
        tokens = 1.0 if lengths is None else float(self._cut_lengths(lengths).mean())
        return self.bench.features.get(
            json.dumps(self._key(part, view), sort_keys=True, default=str),
            count=len(part),
            cuts=[str(cut) for cut in self.cuts],
            row_bytes={str(cut): self._row_bytes(cut, tokens) for cut in self.cuts},
            compute=partial(self._compute, part, order, view),
            is_wanted=self.is_wanted,
        )

    def _compute(
        self, part: Part, order: Tensor, view: int | None, positions: np.ndarray
    ) -> dict[str, reuse.Rows]:
        chosen = order[torch.from_numpy(positions)]
        batch = self._batch(part, chosen, view)
        with torch.inference_mode(), self.numerics.autocast():
            found = models.run_prefix(self._model, self._laid_out(batch), self.cuts)
        return {str(cut): self._stored(cut, features, batch) for cut, features in found.items()}

    def _batch(self, part: Part, chosen: Tensor, view: int | None) -> Batch:
        device = self.numerics.device
        if view is None:
            return part.inputs.eval_batch(chosen, self.recipe, device=device)
        # A fixed view draws nothing.
        moment = Moment(view, torch.Generator(), device)
        return part.inputs.train_batch(chosen, self.recipe, moment=moment)

    def _laid_out(self, batch: Batch) -> Batch:
        layout = self.numerics.memory_format
        return {
            name: tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor
            for name, tensor in batch.items()
        }

    def _stored(self, cut: int, features: Tensor, batch: Batch) -> reuse.Rows:
        if self._shapes[cut].is_per_token:
            is_token = batch["attention_mask"].bool()
            return reuse.Ragged(features[is_token], is_token.sum(dim=1))
        return features.permute(0, 2, 3, 1) if self._is_channels_last(cut) else features

    def _is_channels_last(self, cut: int) -> bool:
        is_image = len(self._shapes[cut].shape) == 3
        return is_image and self.numerics.memory_format is torch.channels_last

    def _cut_shapes(self) -> Mapping[int, models.CutShape]:
        first = torch.zeros(1, dtype=torch.int64)
        batch = self._laid_out(self._batch(self.bench.train, first, None))
        with torch.inference_mode(), self.numerics.autocast():
            return models.cut_shapes(self._model, self.built.groups, batch)

    def _affordable(self, wanted: Sequence[int]) -> list[int]:
        """The deepest cuts, which save most, as long as the features of all fit together."""
        left = self.bench.experiment.reuse.gib * 2**30
        chosen = []
        for cut in sorted(wanted, reverse=True):
            left -= self._bytes(cut)
            if left >= 0:
                chosen.append(cut)
        return sorted(chosen)

    def _bytes(self, cut: int) -> float:
        """Of the training part in every view and the validation part."""
        train, validation = self.bench.train, self.bench.validation
        views = (self.recipe.views or 1) if self.recipe.augmentation != "none" else 1
        return views * self._part_bytes(cut, train) + self._part_bytes(cut, validation)

    def _part_bytes(self, cut: int, part: Part) -> float:
        lengths = part.inputs.lengths
        tokens = len(part) if lengths is None else int(self._cut_lengths(lengths).sum())
        per_row = len(part) if not self._shapes[cut].is_per_token else tokens
        return per_row * self._shapes[cut].row_bytes

    def _row_bytes(self, cut: int, tokens: float) -> int:
        shape = self._shapes[cut]
        return int(shape.row_bytes * (tokens if shape.is_per_token else 1)) + 1

    def _cut_lengths(self, lengths: np.ndarray) -> np.ndarray:
        limit = self.recipe.max_length
        return lengths if limit is None else np.minimum(lengths, limit)

    def _key(self, part: Part, view: int | None) -> dict[str, Any]:
        """Everything that the features depend on."""
        weights = self.bench.weights
        assert weights is not None  # random layers are nobody else's: see `obstacle`
        numerics, recipe = self.numerics, self.recipe
        seen = None
        if view is not None:
            seen = [recipe.augmentation, self.bench.experiment.seed, view]
        return {
            "weights": weights.fingerprint,
            "model": self.bench.experiment.model.name,
            "examples": part.digest,
            "view": seen,
            "preparation": self.bench.modality.preparation(recipe),
            "torch": torch.__version__,
            "dtype": str(numerics.dtype),
            "layout": str(numerics.memory_format),
            "device": _device_name(numerics.device),
            "threads": self.threads if numerics.device.type == "cpu" else None,
        }


def _asked_cuts(making: _Making) -> set[int]:
    """Cuts that some trial of the study wants: the deepest one within its freeze depth."""
    experiment = making.bench.experiment
    parameter = experiment.space.parameters.get("freeze_depth")
    count = making.built.groups.count
    depths = {_number(depth, count) for depth in possible_values(experiment, "freeze_depth")}
    if isinstance(parameter, IntParameter):
        depths = set(range(min(depths), max(depths) + 1))
    depths.add(making.built.depth)
    below = [[cut for cut in making.possible if cut <= depth] for depth in depths]
    return {max(cuts) for cuts in below if cuts}


def _number(depth: int | str, count: int) -> int:
    return count if isinstance(depth, str) else depth


def _by_length(part: Part) -> Tensor:
    """Positions in the order of the rows: texts of like length are computed together."""
    lengths = part.inputs.lengths
    if lengths is None:
        return torch.arange(len(part))
    return torch.from_numpy(np.argsort(lengths, kind="stable").astype(np.int64))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
