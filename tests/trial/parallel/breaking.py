"""Fine-tuning in which something goes wrong on the second device, as the trial's seed says."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.trial import FineTune

OUT_OF_MEMORY, WRONG, KILLED, STRAYED = 101, 102, 103, 104
# Of these at a time the second device computes no more.
FITS = 8


@dataclass
class Breaking(FineTune):
    """Breaks where it has been unpickled: in helpers. The process that leads is as it is."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _break_followers()


def _break_followers() -> None:
    import torch

    from runner.trial.training import Training

    follow, join = Training.follow, Training.join

    def joining(training: Training, ranks: Any) -> None:
        if training.spec.seed == STRAYED:
            with torch.no_grad():
                for parameter in training.model.parameters():
                    parameter.add_(0.1)
        join(training, ranks)

    def breaking(training: Training, channel: Any) -> None:
        act = {OUT_OF_MEMORY: _refuse, WRONG: _go_wrong, KILLED: _die}.get(training.spec.seed)
        step = training.stepper.step
        if act is not None:
            training.stepper.step = _broken(step, lambda: act(training))  # type: ignore
        follow(training, channel)

    Training.follow = breaking  # type: ignore
    Training.join = joining  # type: ignore


def _broken(step: Callable[[Any], Any], act: Callable[[], None]) -> Callable[[Any], Any]:
    steps = []

    def broken(portion: Any) -> Any:
        steps.append(portion.count)
        if len(steps) == 2:
            act()
        return step(portion)

    return broken


def _refuse(training: Any) -> None:
    """What torch's own allocator raises when the machine has no such memory."""
    import torch

    if training.micro_batch > FITS:
        torch.empty(1 << 60, dtype=torch.uint8)


def _go_wrong(training: Any) -> None:
    raise ValueError("the second device has had enough")


def _die(training: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
