"""Heads trained together as far as memory goes, each ended as its own trial."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from runner.errors import TrialOutOfMemory
from runner.experiment import Recipe, first_line
from runner.trial.fused.contract import HeadEnding, HeadFeatures, HeadSetting, HeadTrial
from runner.trial.fused.running import RunningHead
from runner.trial.fused.together import End, Together
from runner.trial.job import Channel
from runner.trial.memory import is_out_of_memory
from runner.trial.precision import Numerics

logger = logging.getLogger(__name__)

# Weights of a head up to which its steps are so short that threads wait for one another longer
# than they compute: heads of 2,560 and 3,840 took 2 to 3 times as long with two threads as with
# one where another process had one of two cores, 0.9 to 1.1 of it where none had
# (docs/benchmarks.md). One of 204,800 took 0.8 of it with two.
_SMALL_HEAD = 2**17


def obstacle_to_fusing(recipe: Recipe, numerics: Numerics) -> str | None:
    """Why a trial that trains nothing but a linear head must be trained by itself; None if not."""
    if numerics.dtype == torch.float16:
        return "float16 scales each trial's loss by a number of its own"
    if recipe.mixup > 0:
        return "mixup mixes examples before the head"
    return None


def fuse_heads(
    heads: Sequence[HeadTrial],
    features: HeadFeatures,
    *,
    setting: HeadSetting,
    channel: Channel,
    end: End,
) -> None:
    """Train heads together; each comes out as it would alone, to floating-point noise.

    Where memory runs out, half of them are trained first and the others after them.

    Args:
        heads: The trials; they may differ in every key of the recipe that a head alone knows.
        features: What they learn from.
        setting: What else they have in common.
        channel: Takes each epoch's report of each trial, and says how it goes on.
        end: Called once for each trial, as soon as it is over.
    """
    waiting = [[RunningHead(trial) for trial in heads]]
    with _threads_for(heads):
        while waiting:
            together = waiting.pop()
            try:
                Together(together, features, setting, channel, end).train()
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = first_line(error)
            # Outside the except block, so that the traceback no longer holds the batch's tensors.
            waiting += _halves(together, reason, setting, end)


@contextmanager
def _threads_for(heads: Sequence[HeadTrial]) -> Iterator[None]:
    """One thread for small heads: by their size, so that its company changes no bit of a trial."""
    threads = torch.get_num_threads()
    if max(value.numel() for value in heads[0].start.values()) <= _SMALL_HEAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _halves(
    together: Sequence[RunningHead], reason: str, setting: HeadSetting, end: End
) -> list[list[RunningHead]]:
    """Those that are not over in two parts to be trained anew, the one to come first at the end.

    A trial that does not even fit alone is ended.
    """
    left = [run for run in together if not run.is_over]
    if setting.numerics.device.type == "cuda":
        torch.cuda.empty_cache()
    if len(left) == 1:
        error = TrialOutOfMemory(f"out of memory with one head by itself ({reason})")
        end(HeadEnding(left[0].trial, left[0].state, error=error))
        return []
    logger.warning("out of memory with %d heads together (%s)", len(left), reason)
    for run in left:
        run.restart()
    middle = math.ceil(len(left) / 2)
    return [half for half in (left[middle:], left[:middle]) if half]
