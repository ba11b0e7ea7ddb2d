"""The memory of a device: batches that do not fit, data that stay there, what a job took.

Where a batch does not fit, the effective batch stays and the micro-batch halves. Not so in a trial
that others run beside: batch norm sees micro-batches, and their size is not the neighbours' to
decide.
"""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from runner.errors import TrialOutOfMemory
from runner.experiment import first_line

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Of a GPU's free memory, what one part of the data may take to stay there.
RESIDENT_SHARE = 0.25

# The words of torch's CPU allocator, which raises a bare RuntimeError (c10/core/CPUAllocator.cpp),
# of cuBLAS and MPS, and of oneDNN where it cannot allocate. The last has other causes too; a
# trial that meets one of those ends with oneDNN's own words in its reason.
_OUT_OF_MEMORY_WORDS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "could not create a primitive",
)
# What the libraries say where a device is full and where it is not. Beside others it is put down
# to them; the trial is run again by itself, and there it means what it says.
_CROWDED_WORDS = (
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "unable to find an engine",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        word in str(error) for word in _OUT_OF_MEMORY_WORDS
    )


@contextmanager
def out_of_memory_beside_others(is_packed: bool) -> Iterator[None]:
    """Out of memory within is out of memory for the trial, if others run beside it.

    Raises:
        TrialOutOfMemory: If a packed trial finds no memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        is_crowded = any(word in str(error) for word in _CROWDED_WORDS)
        if is_packed and (is_crowded or is_out_of_memory(error)):
            raise TrialOutOfMemory(
                f"out of memory on a device that it shares ({first_line(error)})"
            ) from error
        raise


def with_shrinking_micro_batch(
    batch_size: int, train: Callable[[int], T], *, largest: int | None = None
) -> T:
    """Call `train(micro_batch_size)`, halving the micro-batch each time memory runs out.

    Args:
        batch_size: The first micro-batch.
        train: Raises where memory runs out; called again, it gives back what it took before.
        largest: Most examples that are computed at a time whatever the micro-batch: the largest
            share of a batch that a device has; None: all of them.

    Gradients are accumulated over the micro-batches, so the effective batch size, and with it
    the meaning of the learning rate, stays what the trial asked for. (Batch norm sees the
    smaller micro-batch; the trial's notes say which size was used.)

    Raises:
        TrialOutOfMemory: If not even one example at a time fits.
    """
    micro, largest = batch_size, largest or batch_size
    while True:
        try:
            return train(micro)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if min(micro, largest) == 1:
                raise TrialOutOfMemory(
                    "out of memory even with one example at a time; use a smaller model or "
                    f"image size, or a device with more memory ({first_line(error)})"
                ) from error
            reason = first_line(error)
        # Outside the except block, so that the traceback no longer holds the batch's tensors.
        micro = min(micro, largest)
        logger.warning("out of memory with %d examples at a time (%s)", micro, reason)
        micro = micro // 2


@dataclass
class Residency:
    """What of a job's data stays on the device that trains; all else is copied batch by batch.

    On a device of its own that is what fits into a share of what is free. Where others run beside
    it, it is a fixed part of the device: whether data stay must not depend on who else is there,
    or what a trial was measured to need would not hold for the next one like it.

    Attributes:
        neighbours: How many leases share the device, this one included.
    """

    neighbours: int = 1
    _taken_bytes: int = field(default=0, init=False)

    @property
    def is_shared(self) -> bool:
        """Whether others may use the device too, so that nothing stays there between jobs."""
        return self.neighbours > 1

    def take(self, nbytes: int, device: torch.device) -> bool:
        """Whether data may stay on a device, which is CUDA's; if so, they count as being there.

        Args:
            nbytes: Their size.
            device: Where.
        """
        if device.type != "cuda":
            return False
        free_bytes, total_bytes = torch.cuda.mem_get_info(device)
        if not self.is_shared:
            return nbytes <= RESIDENT_SHARE * free_bytes
        room_bytes = RESIDENT_SHARE * total_bytes / self.neighbours - self._taken_bytes
        is_room = nbytes <= room_bytes
        self._taken_bytes += nbytes if is_room else 0
        return is_room

    def release(self) -> None:
        """Nothing is there any more."""
        self._taken_bytes = 0


def peak_memory_gib(device: str) -> float | None:
    """Largest memory torch held on a CUDA device since the job began, in GiB; else None.

    Held, not only used: what its allocator keeps for later nobody else can have.
    """
    if not device.startswith("cuda"):
        return None
    return torch.cuda.max_memory_reserved(device) / 2**30


def release_memory() -> None:
    """Give a device's memory back that no tensor uses any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
