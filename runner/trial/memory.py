"""What to do when a batch does not fit: the effective batch stays, the micro-batch halves."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from runner.errors import TrialOutOfMemory

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
    "could not create a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        word in str(error) for word in _OUT_OF_MEMORY_WORDS
    )


def with_shrinking_micro_batch(batch_size: int, train: Callable[[int], T]) -> T:
    """Call `train(micro_batch_size)`, halving the micro-batch each time memory runs out.

    Gradients are accumulated over the micro-batches, so the effective batch size, and with it
    the meaning of the learning rate, stays what the trial asked for. (Batch norm sees the
    smaller micro-batch; the trial's notes say which size was used.)

    Raises:
        TrialOutOfMemory: If not even one example at a time fits.
    """
    micro = batch_size
    while True:
        try:
            return train(micro)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if micro == 1:
                raise TrialOutOfMemory(
                    "out of memory even with one example at a time; use a smaller model or "
                    f"image size, or a device with more memory ({str(error).splitlines()[0]})"
                ) from error
            reason = str(error).splitlines()[0]
        # Outside the except block, so that the traceback no longer holds the batch's tensors.
        logger.warning("out of memory with %d examples at a time (%s)", micro, reason)
        micro = max(1, micro // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def fits_beside(nbytes: int, device: torch.device) -> bool:
    """Whether data may stay on a GPU beside what trains there; never on other devices.

    Args:
        nbytes: Its size.
        device: Where.
    """
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return nbytes <= RESIDENT_SHARE * free


def peak_memory_gib(device: str) -> float | None:
    """Largest memory torch held on a CUDA device since the job began, in GiB; else None."""
    if not device.startswith("cuda"):
        return None
    return torch.cuda.max_memory_allocated(device) / 2**30
