"""Learning-rate factors over a trial's steps."""

import math


def learning_rate_factor(schedule: str, step: int, *, total: int, warmup: int) -> float:
    """Factor on the base learning rate at one step.

    Args:
        schedule: "cosine", "linear" (both fall to 0 at the end) or "constant".
        step: The optimiser step about to be taken, in [0, total).
        total: Number of optimiser steps of the whole trial.
        warmup: Steps of linear rise from nearly 0 at the start.
    Returns:
        Factor in (0, 1].
    Raises:
        ValueError: If the schedule has another name.
    Source: warm-up as in Goyal et al. 2017; cosine as in Loshchilov and Hutter 2017.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    if schedule == "linear":
        return 1.0 - done
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    raise ValueError(f"no schedule named {schedule!r}: cosine, linear or constant")
