"""Makes the features of trials: one pass over a part gives every cut that some trial may want."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runner import __version__, models, reuse
from runner.experiment import IntParameter, Recipe
from runner.trial.bench import Bench, Built, Part
from runner.trial.features import FeatureInputs, rows_on
from runner.trial.modality import Batch, Moment
from runner.trial.possible import possible_values
from runner.trial.precision import Numerics


@dataclass
class FeatureMaker:
    """Makes the features of one trial, at all cuts that trials of the study may want."""

    bench: Bench
    recipe: Recipe
    built: Built
    numerics: Numerics
    threads: int
    is_wanted: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self._model = self.built.model
        self._shapes: Mapping[int, models.CutShape] = {}
        self.possible = models.cut_points(self._model, self.built.groups)
        wanted = [cut for cut in self.possible if cut in _asked_cuts(self)]
        if wanted:
            self._shapes = self._cut_shapes()
        self.cuts = self._affordable(wanted)

    @property
    def views(self) -> list[int | None]:
        """The views of the training part: by number, or None for examples as they are."""
        is_image = self.bench.train.inputs.lengths is None
        if is_image and self.recipe.augmentation != "none":
            return list(range(self.recipe.views or 1))
        return [None]

    def summary(self) -> str:
        """What is computed once, and what it takes, in one line for people."""
        if not self.cuts:
            return f"shared work: no frozen layers: {self.why_no_cut()}"
        count, views = self.built.groups.count, len(self.views)
        depths = ", ".join("the head" if cut == count else str(cut) for cut in self.cuts)
        mib = sum(self.bytes_at(cut) for cut in self.cuts) / 2**20
        seen = f"{len(self.bench.train)} x {views} views" if views > 1 else len(self.bench.train)
        return (
            f"shared work: outputs of frozen layers at {depths} (of {count} layer groups), "
            f"{mib:.1f} MiB of {self.bench.experiment.reuse.gib:g} GiB; computed once by "
            f"{seen} + {len(self.bench.validation)} forward passes"
        )

    def why_no_cut(self) -> str:
        """Why no cut can be used at this depth."""
        below = [cut for cut in self.possible if cut <= self.built.depth]
        if not below:
            return f"{self.bench.experiment.model.name} cannot be cut after its frozen layers"
        needed = self.bytes_at(max(below)) / 2**30
        limit = self.bench.experiment.reuse.gib
        return f"features need {needed:.1f} GiB, and reuse.gib is {limit:g}"

    def part(self, part: Part, cut: int, views: Sequence[int | None]) -> Part:
        """A part of the split as features at a cut, in each of the views."""
        order = _by_length(part)
        made = tuple(self._features(part, order, view)[str(cut)] for view in views)
        device = self.numerics.device
        is_last = self._is_channels_last(cut)
        residency = self.bench.residency
        rows = tuple(
            rows_on(each, device, is_channels_last=is_last, residency=residency) for each in made
        )
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
            left -= self.bytes_at(cut)
            if left >= 0:
                chosen.append(cut)
        return sorted(chosen)

    def bytes_at(self, cut: int) -> float:
        """Of the training part in every view and the validation part."""
        train, validation = self.bench.train, self.bench.validation
        views = len(self.views)
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
            # Of which number a cut is, and what a view shows.
            "runner": __version__,
            "torch": torch.__version__,
            "dtype": str(numerics.dtype),
            "layout": str(numerics.memory_format),
            "device": _device_name(numerics.device),
            "threads": self.threads if numerics.device.type == "cpu" else None,
        }


def _asked_cuts(making: FeatureMaker) -> set[int]:
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
