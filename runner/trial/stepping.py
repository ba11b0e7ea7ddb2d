"""One optimiser step: a batch in pieces that fit into memory, whose gradients add up exactly."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.tasks import Criterion
from runner.trial.modality import Batch, rows_of
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
        micro_batch: Examples of a forward pass; larger batches are taken in pieces.
    """

    parameters: Iterable[nn.Parameter]
    optimizer: Optimizer
    criterion: Criterion
    forward: Callable[[Batch], Tensor]
    numerics: Numerics
    grad_clip: float | None
    micro_batch: int

    def __post_init__(self) -> None:
        self.parameters = list(self.parameters)
        self.scaler = self.numerics.grad_scaler()

    def step(self, batch: Batch, targets: Tensor) -> Tensor:
        """Train on one batch; gives its mean loss, a detached scalar on the device."""
        total = torch.zeros((), device=self.numerics.device)
        # A batch of cut words alone has no weight, and no gradient either.
        weight = self.criterion.weight(targets).clamp(min=1e-12)
        self.optimizer.zero_grad(set_to_none=True)
        for start in range(0, len(targets), self.piece(len(targets))):
            stop = start + self.piece(len(targets))
            with self.numerics.autocast():
                outputs = self.forward(rows_of(batch, start, stop))
            loss = self.criterion.total(outputs, targets[start:stop]) / weight
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        if self.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return total

    def piece(self, count: int) -> int:
        """Examples of each piece but the last: as equal as they can be, within the micro-batch."""
        pieces = -(-count // self.micro_batch)
        return -(-count // pieces)
