"""One optimiser step: a batch in pieces that fit into memory, whose gradients add up exactly."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.tasks import Criterion
from runner.trial.batching import Portion
from runner.trial.modality import Batch, rows_of
from runner.trial.parallel.ranks import GradientSum, Ranks
from runner.trial.precision import Numerics


@dataclass
class Stepper:
    """Takes optimiser steps.

    Attributes:
        parameters: What is clipped together.
        optimizer: Over them.
        criterion: The training loss.
        forward: The model's outputs for a batch.
        numerics: How to compute.
        grad_clip: Largest norm of the gradient, or None.
        micro_batch: Examples of a forward pass; larger portions are taken in pieces.
        ranks: Who else trains on the rest of each batch.
        is_in_step: Whether forward passes themselves wait for those of other ranks.
    """

    parameters: Iterable[nn.Parameter]
    optimizer: Optimizer
    criterion: Criterion
    forward: Callable[[Batch], Tensor]
    numerics: Numerics
    grad_clip: float | None
    micro_batch: int
    ranks: Ranks = field(default_factory=Ranks)
    is_in_step: bool = False

    def __post_init__(self) -> None:
        self.parameters = list(self.parameters)
        self.scaler = self.numerics.grad_scaler()
        self._gradients = GradientSum(self.ranks)

    def join(self, ranks: Ranks, *, is_in_step: bool) -> None:
        """Take steps together with others from now on."""
        self.ranks, self.is_in_step = ranks, is_in_step
        self._gradients = GradientSum(ranks)

    def step(self, portion: Portion) -> Tensor:
        """Train on one batch; gives the whole batch's mean loss, a detached scalar on the device.

        Raises:
            TrialLost: If another rank has gone.
        """
        batch, targets = portion.batch, portion.targets
        total = torch.zeros((), device=self.numerics.device)
        # A batch of cut words alone has no weight, and no gradient either.
        weight = self.ranks.sum(self.criterion.weight(targets)).clamp(min=1e-12)
        self.optimizer.zero_grad(set_to_none=True)
        for rows in self._pieces(portion):
            with self.numerics.autocast():
                outputs = self.forward(rows_of(batch, rows.start, rows.stop))
            loss = self.criterion.total(outputs, targets[rows]) / weight
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        self._gradients.add(list(self.parameters), total)
        if self.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return total

    def pieces(self, count: int) -> int:
        """In how many pieces each rank takes its share of a batch of `count` examples."""
        return -(-self.ranks.largest_share(count) // self.micro_batch)

    def piece(self, portion: Portion) -> int:
        """Examples of each piece but the last: as equal as they can be, within the micro-batch."""
        return max(1, -(-len(portion.targets) // self.pieces(portion.count)))

    def _pieces(self, portion: Portion) -> list[slice]:
        """Where they are; without an example only where other ranks would wait for them."""
        size, mine = self.piece(portion), len(portion.targets)
        starts = [min(number * size, mine) for number in range(self.pieces(portion.count))]
        found = [slice(start, min(start + size, mine)) for start in starts]
        return found if self.is_in_step else [each for each in found if each.start < each.stop]
