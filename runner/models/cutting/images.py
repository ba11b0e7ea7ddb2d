"""Where a timm model can be cut: between its stages, or before its classifier alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from runner.models.cutting.heads import before_classifier
from runner.models.cutting.splitting import PIXELS, NoSplitting, Splitting
from runner.models.cutting.stages import Stage, stages_of
from runner.models.cutting.trace import (
    Operation,
    Trace,
    modes_kept,
    parameters_read,
    traced,
)
from runner.models.dry_run import CANNOT_RUN
from runner.models.groups import LayerGroups, image_shape_of


def image_splitting(model: nn.Module, groups: LayerGroups) -> Splitting:
    """Where a timm model can be cut; costs a few passes without values."""
    image = torch.empty(2, *image_shape_of(model), device="meta")
    for find in (_between_stages, before_classifier):
        try:
            found = find(model, groups, image)
        except CANNOT_RUN:
            continue
        if found is not None:
            return found
    return NoSplitting()


@dataclass(frozen=True)
class _Staged:
    """Cuts between stages.

    Attributes:
        stages: Of the model's family.
        ends: How many stages come before each cut.
    """

    stages: tuple[Stage, ...]
    ends: Mapping[int, int]

    @property
    def cuts(self) -> tuple[int, ...]:
        return tuple(sorted(self.ends))

    def prefix(
        self, model: nn.Module, batch: Mapping[str, Tensor], cuts: Collection[int]
    ) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        x, done = batch[PIXELS], 0
        for cut in sorted(cuts):
            for stage in self.stages[done : self.ends[cut]]:
                x = stage.run(model, x)
            found[cut], done = x, self.ends[cut]
        return found

    def suffix(
        self, model: nn.Module, features: Tensor, batch: Mapping[str, Tensor], *, cut: int
    ) -> Tensor:
        x = features
        for stage in self.stages[self.ends[cut] :]:
            x = stage.run(model, x)
        return x


def _between_stages(model: nn.Module, groups: LayerGroups, image: Tensor) -> Splitting | None:
    stages = stages_of(model)
    if stages is None:
        return None
    with modes_kept(model):
        # In training mode every dropout shows.
        model.train()
        _, plain = traced(model, lambda _: model(image))
        pieces, _ = traced(model, lambda trace: _stage_by_stage(model, stages, image, trace))
    own = zip(stages, pieces, strict=True)
    chained = [each for stage, piece in own if not stage.is_narrowing for each in piece]
    if chained != plain.operations:
        return None
    ends = _ends(pieces, groups)
    return _Staged(stages, ends) if groups.count in ends else None


def _stage_by_stage(
    model: nn.Module, stages: Sequence[Stage], x: Tensor, trace: Trace
) -> list[list[Operation]]:
    """The operations of each stage."""
    pieces, done = [], 0
    for stage in stages:
        x = stage.run(model, x)
        pieces.append(trace.operations[done:])
        done = len(trace.operations)
    return pieces


def _ends(pieces: Sequence[Collection[Operation]], groups: LayerGroups) -> dict[int, int]:
    """How many stages come before each boundary of groups that lies between two stages.

    Where stages without parameters follow a boundary, they come before the cut: pooling makes the
    features smaller.
    """
    reads = [parameters_read(piece) for piece in pieces]
    ends: dict[int, int] = {}
    for depth in range(1, groups.count + 1):
        before = set(groups.frozen_parameters(depth))
        for end in range(1, len(pieces)):
            if set().union(*reads[:end]) <= before and not before & set().union(*reads[end:]):
                ends[depth] = end
    return ends
