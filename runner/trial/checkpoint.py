"""A running trial's checkpoint: one file, written whole or not at all."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from runner.errors import TrialFailed
from runner.trial.job import CHECKPOINT, INHERITED, Report, Segment

WEIGHTS = "weights.safetensors"


@dataclass
class TrainingState:
    """Everything needed to go on after an epoch as if nothing had happened.

    Random streams are derived from (seed, epoch), so no generator state is kept.

    Attributes:
        epoch: Epochs finished.
        model, optimizer: Their state dicts; `ema` the averaged model's, if there is one;
            `scaler` the float16 loss scaler's, if there is one.
        best_value, best_epoch, best_weights: Of the best epoch so far.
        best_loss: Its validation loss; of epochs of equal value the lower is the better.
        gained_at: The last epoch whose value beat all before it.
        best_evaluation: Its evaluation, plain JSON values.
        reports: Every report so far; the truth on resuming.
        micro_batch: Examples per forward pass that were found to fit.
        seconds: Training time so far.
        compiled_from: The first epoch whose training pass is compiled; a trial that goes on keeps
            to it.
        plain_because: Why the rest is not to be compiled, once that is decided.
    """

    epoch: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    micro_batch: int
    ema: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None
    best_value: float | None = None
    best_epoch: int | None = None
    best_loss: float | None = None
    gained_at: int | None = None
    best_weights: dict[str, torch.Tensor] | None = None
    best_evaluation: dict[str, Any] | None = None
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0
    compiled_from: int | None = None
    plain_because: str | None = None


def save_checkpoint(folder: Path, state: TrainingState) -> None:
    """Write the checkpoint beside the old one, then replace it in one step.

    Raises:
        OSError: If it cannot be written; the old one stays.
    """
    values = {name: getattr(state, name) for name in TrainingState.__dataclass_fields__}
    values["reports"] = [{**asdict(r), "metrics": dict(r.metrics)} for r in state.reports]
    target = folder / CHECKPOINT
    temporary = _unfinished(target)
    _write(values, temporary)
    temporary.replace(target)


def _write(values: dict[str, Any], path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(values, file)
    except RuntimeError as error:
        # Of a full disk torch itself says no more than that it is at another byte than it thought.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def load_checkpoint(folder: Path, name: str = CHECKPOINT) -> TrainingState | None:
    """The trial's checkpoint, or the one that it goes on from; None if it has none.

    Only tensors and plain values are unpickled (`weights_only`).
    """
    path = folder / name
    if not path.exists():
        return None
    values = torch.load(path, map_location="cpu", weights_only=True)
    values["reports"] = [Report(**report) for report in values["reports"]]
    return TrainingState(**values)


def load_inherited(folder: Path, segment: Segment) -> TrainingState:
    """The state that a trial goes on from, where it is not the first of its training.

    Raises:
        TrialFailed: If it is not there.
    """
    state = load_checkpoint(folder, INHERITED)
    if state is None:
        raise TrialFailed(
            f"the last state of trial {segment.parent}, from which this one goes on, is gone"
        )
    return state


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a trial that has ended."""
    (folder / CHECKPOINT).unlink(missing_ok=True)


def save_weights(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    """Write the best epoch's weights as safetensors; returns the file."""
    target = folder / WEIGHTS
    temporary = _unfinished(target)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary)
    temporary.replace(target)
    return target


def _unfinished(target: Path) -> Path:
    """Where a file is written before it takes its place: each process has a name of its own.

    A worker whose driver was killed may still be writing while the next one writes already.

    Side effects: removes what other processes left half-written there. One that lives on, although
    its trial is another's now, can then no longer put its file in place.
    """
    own = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    for other in target.parent.glob(f"{target.name}.*.tmp"):
        if other != own:
            other.unlink(missing_ok=True)
    return own


def load_weights_file(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file by name, on the CPU."""
    return dict(load_file(path))
