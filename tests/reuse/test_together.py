"""Several at work on the same sets: threads here, processes in test_processes.py."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest
import torch

from runner.reuse import FeatureStore, together
from tests.reuse.conftest import CUTS, ROW_BYTES, Counting, padded, rows_at

COUNT = 40


def ask(cache: Path, compute, *, is_wanted=None):
    store = FeatureStore(cache, limit_bytes=10**6, chunk_rows=4)
    return store.get(
        "key", count=COUNT, cuts=CUTS, row_bytes=ROW_BYTES, compute=compute, is_wanted=is_wanted
    )


def are_right(features) -> bool:
    expected = rows_at(torch.arange(COUNT))
    is_dense_right = torch.equal(features["dense"].all(), expected["dense"])
    return is_dense_right and torch.equal(features["ragged"].all(), padded(expected["ragged"]))


def test_two_that_ask_at_once_compute_each_chunk_once_between_them(tmp_path):
    both = Barrier(2, timeout=60)
    # Each holds its first chunk until the other has one too.
    first = [True, True]

    def meet(number):
        def before(positions):
            if first[number]:
                first[number] = False
                both.wait()

        return before

    computing = [Counting(before=meet(number)) for number in range(2)]
    with ThreadPoolExecutor() as pool:
        got = list(pool.map(lambda compute: ask(tmp_path, compute), computing))

    assert sorted(computing[0].chunks + computing[1].chunks) == list(range(0, COUNT, 4))
    assert all(compute.chunks for compute in computing)
    assert all(are_right(features) for features in got)


def test_one_whose_computation_fails_hears_it_and_the_other_goes_on(tmp_path):
    has_failed, is_inside = Event(), Event()

    def fail(positions):
        is_inside.set()
        raise MemoryError("out of memory")

    other = Counting(before=lambda positions: has_failed.wait(60))
    with ThreadPoolExecutor() as pool:
        going_on = pool.submit(ask, tmp_path, other)
        with pytest.raises(MemoryError, match="out of memory"):
            ask(tmp_path, fail)
        has_failed.set()

        assert is_inside.is_set()
        assert are_right(going_on.result())
    assert sorted(other.chunks) == list(range(0, COUNT, 4))


def test_error_of_an_operating_system_in_a_computation_is_not_taken_for_the_disks(tmp_path):
    def compute(positions):
        raise FileNotFoundError("cat.jpg")

    with pytest.raises(FileNotFoundError, match=r"cat\.jpg"):
        ask(tmp_path, compute)


def test_one_that_waits_for_anothers_chunk_may_leave(tmp_path):
    is_inside, may_go_on = Event(), Event()

    def hold(positions):
        if positions[0] == 0:
            is_inside.set()
            may_go_on.wait(60)

    waits = []

    def is_wanted() -> None:
        waits.append(len(mine.chunks))
        if len(waits) > 3 and waits[-1] == waits[-2]:
            raise KeyboardInterrupt

    mine = Counting()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(ask, tmp_path, Counting(before=hold))
        is_inside.wait(60)
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path, mine, is_wanted=is_wanted)
        may_go_on.set()

        assert are_right(other.result())
    # All but the chunk that the other had: it left while it waited for that one.
    assert mine.chunks == list(range(4, COUNT, 4))


def test_one_that_leaves_between_chunks_leaves_them_to_the_next(tmp_path):
    first, second = Counting(), Counting()

    def is_wanted() -> None:
        if len(first.chunks) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path, first, is_wanted=is_wanted)

    assert are_right(ask(tmp_path, second))
    assert first.chunks + second.chunks == list(range(0, COUNT, 4))


def test_chunk_of_one_that_hangs_is_computed_by_who_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "PATIENCE_S", 0.1)
    is_inside, may_go_on = Event(), Event()

    def hang(positions):
        is_inside.set()
        may_go_on.wait(60)

    mine = Counting()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(ask, tmp_path, Counting(before=hang))
        is_inside.wait(60)
        got = ask(tmp_path, mine)
        may_go_on.set()

        assert are_right(got)
        assert are_right(other.result())
    assert mine.chunks == [*range(4, COUNT, 4), 0]
    assert are_right(ask(tmp_path, mine))
