"""One of the trials that train together: how far it is, and what it has said."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from runner.tasks import Predictions, Task
from runner.trial.checkpoint import TrainingState
from runner.trial.fused.contract import HeadTrial
from runner.trial.job import Report

# The best epoch's outputs are kept for one evaluation at the end where they are small: 2 MiB.
_KEPT_OUTPUTS = 2**19


@dataclass
class RunningHead:
    """A trial from its start to its ending.

    Attributes:
        trial: Which.
        state: Its progress.
        sent: What the study has heard; not said again where the trial has to begin anew.
        is_over: Whether it has been ended.
    """

    trial: HeadTrial
    state: TrainingState = field(init=False)
    sent: list[Report] = field(default_factory=list)
    is_over: bool = False
    _best: Predictions | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.restart()

    @property
    def start(self) -> tuple[Tensor, Tensor]:
        """Its fresh weight [C, D] and bias [C]."""
        weight, bias = sorted(self.trial.start.values(), key=lambda value: -value.ndim)
        return weight, bias

    def restart(self) -> None:
        """Forget all progress."""
        self.state = TrainingState(0, {}, {}, micro_batch=self.trial.recipe.batch_size)
        self._best = None

    def keep_best(
        self, values: tuple[Tensor, Tensor], predictions: Predictions, task: Task
    ) -> None:
        """Keep the weights of the best epoch so far, and what its evaluation needs.

        Args:
            values: Weight [C, D] and bias [C] that were validated.
            predictions: What they predict.
            task: What is learnt.
        """
        self.state.best_weights = self._named(values)
        self._best = predictions
        if predictions.outputs.numel() > _KEPT_OUTPUTS:
            self.finish(task)

    def finish(self, task: Task) -> None:
        """Evaluate the best epoch, if there is one and it has not been done."""
        if self._best is not None:
            self.state.best_evaluation = task.evaluate(self._best)
            self._best = None

    def _named(self, values: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        by_dimensions: Mapping[int, Tensor] = {value.ndim: value for value in values}
        return {
            name: by_dimensions[start.ndim].detach().to("cpu", torch.float32, copy=True)
            for name, start in self.trial.start.items()
        }
