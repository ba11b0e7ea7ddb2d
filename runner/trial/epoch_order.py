"""In which order an epoch visits the training examples, and how they share batches."""

import math

import numpy as np
import torch
from torch import Tensor

from runner import data


def count_batches(count: int, batch_size: int, *, has_lengths: bool) -> int:
    """How many batches an epoch over `count` examples has."""
    if not has_lengths and count > 1 and batch_size > 1 and count % batch_size == 1:
        return count // batch_size or 1
    return math.ceil(count / batch_size)


def epoch_batches(
    count: int,
    batch_size: int,
    *,
    generator: torch.Generator,
    lengths: np.ndarray | None,
    labels: Tensor | None,
) -> list[Tensor]:
    """Positions of each batch of one epoch, int64.

    Every example once, or, with `labels`, as many draws as there are examples, each class
    equally likely. Examples of like length share a batch where there are lengths; without, a
    last batch of one example is left out, because batch norm cannot train on it.

    Args:
        count: Number of training examples.
        batch_size: Examples of a batch; the last may be smaller.
        generator: Decides the order.
        lengths: What each example costs, or None.
        labels: Class of each example, for balanced sampling; None visits each example once.
    """
    order = _balanced(labels, generator) if labels is not None else None
    if order is None and lengths is None:
        order = torch.randperm(count, generator=generator)
    if lengths is None:
        assert order is not None
        batches = torch.split(order, batch_size)
        return list(batches[: count_batches(count, batch_size, has_lengths=False)])
    visited = lengths if order is None else lengths[order.numpy()]
    grouped = data.length_batches(visited, batch_size, generator=_numpy_generator(generator))
    places = [torch.from_numpy(np.asarray(batch, dtype=np.int64)) for batch in grouped]
    return places if order is None else [order[place] for place in places]


def _balanced(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draws with replacement, each class equally likely."""
    counts = torch.bincount(labels).clamp(min=1)
    weights = 1.0 / counts[labels].double()
    return torch.multinomial(weights, len(labels), replacement=True, generator=generator)


def _numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """A generator of numpy's, seeded from one of torch's."""
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return np.random.default_rng(seed)
