"""Sets made in this process's memory alone, where the disk refuses them."""

import numpy as np

from runner.machine import free_memory
from runner.reuse.errors import TooLarge
from runner.reuse.features import DenseFeatures, Features, RaggedFeatures
from runner.reuse.order import Order
from runner.reuse.rows import Block

# The rest is for the trial, and for whoever else has no disk.
_SHARE_OF_FREE_MEMORY = 0.5


def make_in_memory(order: Order) -> dict[str, Features]:
    """The sets of an order, computed here from beginning to end.

    Raises:
        TooLarge: If they would take more than half of the memory that is free, or no longer fit.
        Exception: What the computation or `is_wanted` raises.
    """
    limit_bytes = int(free_memory() * _SHARE_OF_FREE_MEMORY)
    if order.bytes > limit_bytes:
        raise TooLarge(order.bytes, limit_bytes)
    made: dict[str, list[Block]] = {cut: [] for cut in order.targets}
    for chunk in range(order.extent.chunks):
        order.is_wanted()
        # Others may have begun to make theirs at the same moment.
        left_bytes = order.bytes * (order.extent.chunks - chunk) // order.extent.chunks
        if left_bytes > free_memory():
            raise TooLarge(order.bytes, limit_bytes)
        for cut, block in order.blocks(chunk).items():
            made[cut].append(block)
    return {cut: _joined(blocks) for cut, blocks in made.items()}


def _joined(blocks: list[Block]) -> Features:
    """One set of all chunks; frees them as it goes."""
    spec = blocks[0].spec
    if different := [block.spec for block in blocks if block.spec != spec]:
        raise ValueError(f"rows like {different[0]} computed, where other chunks have {spec}")
    counts = [block.lengths for block in blocks if block.lengths is not None]
    values = np.empty((sum(len(block.values) for block in blocks), *spec.shape), spec.stored_as)
    start = 0
    for index, block in enumerate(blocks):
        values[start : start + len(block.values)] = block.values
        start += len(block.values)
        blocks[index] = Block(spec, values[:0], None)
    if not spec.is_ragged:
        return DenseFeatures(spec, values, is_in_memory=True)
    lengths = np.concatenate(counts)
    return RaggedFeatures(spec, values, np.cumsum(lengths) - lengths, lengths, is_in_memory=True)
