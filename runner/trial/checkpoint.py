"""A running trial's checkpoint: one file, written and read whole or not at all."""

import errno
import logging
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, cast

import torch
from safetensors.torch import load_file

from runner import models
from runner.errors import DiskRefused, TrialFailed
from runner.experiment import discard, drop_unfinished, refusals, replacing
from runner.trial.job import CHECKPOINT, INHERITED, WEIGHTS, Report, Segment
from runner.trial.memory import is_out_of_memory

logger = logging.getLogger(__name__)

# What zipfile raises for one that is cut off, or has other bytes than were written, and torch for
# an archive that holds none.
_DAMAGES = (
    zipfile.BadZipFile,
    EOFError,
    ValueError,
    RuntimeError,
    struct.error,
    zlib.error,
)


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
        unsaved_because: Why the last checkpoint is not on the disk; None if it is.
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
    unsaved_because: str | None = None


def keep_checkpoint(folder: Path, state: TrainingState) -> None:
    """Write the checkpoint if the disk takes it, and go on without it if not.

    The training is worth more than being able to go on after a kill: the log says so once, and
    the state why.
    """
    try:
        save_checkpoint(folder, state)
    except DiskRefused as refusal:
        if state.unsaved_because is None:
            logger.warning("training goes on without a checkpoint: %s", refusal)
        state.unsaved_because = str(refusal)


def save_checkpoint(folder: Path, state: TrainingState, *, is_durable: bool = False) -> None:
    """Write the checkpoint beside the old one, then replace it in one step; see `replacing`.

    Raises:
        DiskRefused: If the disk refuses; the old one stays.
    """
    values = {name: getattr(state, name) for name in TrainingState.__dataclass_fields__}
    values["reports"] = [{**asdict(r), "metrics": dict(r.metrics)} for r in state.reports]
    values["unsaved_because"] = None
    drop_unfinished(folder / CHECKPOINT)
    written = replacing(folder / CHECKPOINT, is_durable=is_durable)
    with written as temporary, temporary.open("wb") as file:
        target = _Target(file)
        torch.save(values, cast("IO[bytes]", target))
        if target.error is not None:
            raise target.error
    state.unsaved_because = None


class _Target:
    """A file that remembers why it could not be written: torch would hide that, and warn."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: bytes | memoryview) -> None:
        if self.error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self.error = error

    def flush(self) -> None:
        """Closing the file flushes it, and raises what then goes wrong."""


def load_checkpoint(folder: Path, name: str = CHECKPOINT) -> TrainingState | None:
    """The trial's checkpoint, or the one that it goes on from; None if it has no whole one.

    Only tensors and plain values are unpickled (`weights_only`).

    Raises:
        DiskRefused: If it is not this user's to read.
        OSError: If it cannot be read for another reason, which says nothing about what is in it.
    Side effects: a checkpoint that is damaged, or would run code, is removed, and the log says so.
    """
    path = folder / name
    with refusals():
        if not path.exists():
            return None
        found = _read(path)
    if isinstance(found, TrainingState):
        return found
    logger.warning("the checkpoint %s cannot be used and is removed: %s", path, found)
    discard(path)
    return None


def _read(path: Path) -> TrainingState | str:
    """A checkpoint, or what is wrong with it."""
    if (damage := _damage(path)) is not None:
        return damage
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        values["reports"] = [Report(**report) for report in values["reports"]]
        return TrainingState(**values)
    except (UnpicklingError, TypeError, LookupError, *_DAMAGES) as error:
        if is_out_of_memory(error):
            raise
        return (str(error) or type(error).__name__).splitlines()[0]


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint's bytes; None if they are those that were written.

    torch itself does not compare check sums: zeros that a power cut left would be weights.

    Raises:
        OSError: If they cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except (OSError, *_DAMAGES) as error:
        # Some of what the system says, zipfile takes for a bad archive by itself.
        cause = error if isinstance(error, OSError) else error.__context__
        # To go to where the damaged bytes say is no valid argument.
        if isinstance(cause, OSError) and cause.errno != errno.EINVAL:
            raise cause from None
        return str(error) or type(error).__name__
    return None if wrong is None else f"{wrong} is not what was written"


def load_inherited(folder: Path, segment: Segment) -> TrainingState:
    """The state that a trial goes on from, where it is not the first of its training.

    Raises:
        TrialFailed: If it is not there.
    """
    state = load_checkpoint(folder, INHERITED)
    if state is None:
        raise TrialFailed(
            f"the last state of trial {segment.parent}, from which this one goes on, is gone or "
            "damaged"
        )
    return state


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a trial that has ended, if the disk lets go of it."""
    discard(folder / CHECKPOINT)


def save_weights(folder: Path, weights: Mapping[str, torch.Tensor]) -> Path:
    """Write the best epoch's weights as safetensors; returns the file.

    Raises:
        DiskRefused: If the disk refuses; nothing half-made stays.
    """
    target = folder / WEIGHTS
    drop_unfinished(target)
    # The trial is told complete next, and that survives a power cut.
    models.write_state(target, weights, is_durable=True)
    return target


def load_weights_file(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file by name, on the CPU."""
    return dict(load_file(path))
