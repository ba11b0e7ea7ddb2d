"""What is asked of the store in one call."""

from pathlib import Path

import pytest
import torch

from runner.reuse.chunks import Extent
from runner.reuse.order import Order


def order(compute) -> Order:
    targets = {"a": Path("a"), "b": Path("b")}
    return Order(Extent(10, 4), targets, {"a": 100, "b": 1000}, compute, lambda: None)


def test_blocks_are_those_of_the_cuts_asked_for(counting):
    computed = {"a": torch.zeros(2, 1), "b": torch.zeros(2, 2), "c": torch.zeros(2, 3)}

    blocks = order(lambda positions: computed).only(["b"]).blocks(2)

    assert {cut: block.spec.shape for cut, block in blocks.items()} == {"b": (2,)}


def test_computation_that_leaves_out_a_cut_is_refused():
    with pytest.raises(ValueError, match="no rows were computed for the cut b$"):
        order(lambda positions: {"a": torch.zeros(4, 1)}).blocks(0)


def test_bytes_are_those_of_all_rows_at_all_cuts_and_little_more():
    asked = order(lambda positions: {})

    assert 11_000 <= asked.bytes < 11_000 + 2 * 3 * 4096
    assert asked.only(["a"]).bytes == asked.bytes_of("a")
