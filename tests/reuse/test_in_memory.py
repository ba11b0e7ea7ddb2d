"""Sets without a disk."""

from pathlib import Path

import pytest
import torch

from runner.reuse import in_memory
from runner.reuse.chunks import Extent
from runner.reuse.errors import TooLarge
from runner.reuse.in_memory import make_in_memory
from runner.reuse.order import Order
from tests.reuse.conftest import CUTS, ROW_BYTES, padded, rows_at


def order(compute, *, is_wanted=lambda: None) -> Order:
    targets = {cut: Path(cut) for cut in CUTS}
    return Order(Extent(10, 4), targets, ROW_BYTES, compute, is_wanted)


def test_sets_in_memory_equal_direct_computation(counting):
    made = make_in_memory(order(counting))

    assert counting.chunks == [0, 4, 8]
    expected = rows_at(torch.arange(10))
    assert torch.equal(made["dense"].all(), expected["dense"])
    assert torch.equal(made["ragged"].all(), padded(expected["ragged"]))
    assert torch.equal(made["ragged"].lengths, expected["ragged"].lengths)


def test_sets_beyond_the_free_memory_are_refused_before_anything_is_computed(
    monkeypatch, counting
):
    monkeypatch.setattr(in_memory, "_SHARE_OF_FREE_MEMORY", 0.0)

    with pytest.raises(TooLarge, match="do not fit into the 0 GiB there are for them"):
        make_in_memory(order(counting))

    assert counting.chunks == []


def test_set_in_memory_ends_when_nobody_wants_it_any_more(counting):
    def is_wanted() -> None:
        if len(counting.chunks) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        make_in_memory(order(counting, is_wanted=is_wanted))

    assert counting.chunks == [0, 4]


def test_rows_unlike_those_of_another_chunk_are_refused_in_memory_too():
    def compute(positions):
        rows = rows_at(torch.from_numpy(positions))
        return {**rows, "dense": rows["dense"][:, : 5 if positions[0] == 0 else 4]}

    with pytest.raises(ValueError, match=r"shape=\(4,\).* computed, where other .*shape=\(5,\)"):
        make_in_memory(order(compute))


def test_sets_for_which_others_leave_no_memory_are_given_up(monkeypatch, counting):
    """Fails where memory is looked at once: several workers would all take half of it."""
    left = iter([10**12, 10**12, 10**12, 0])
    monkeypatch.setattr(in_memory, "free_memory", lambda: next(left))

    with pytest.raises(TooLarge):
        make_in_memory(order(counting))

    assert counting.chunks == [0, 4]
