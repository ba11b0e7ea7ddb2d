"""The folder in which sets are made together."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from runner.data.disk import DiskRefused
from runner.reuse.budget import working_folder
from runner.reuse.chunks import Extent
from runner.reuse.errors import TooLarge
from runner.reuse.order import Order
from runner.reuse.workplace import Workplace
from tests.reuse.conftest import CUTS, ROW_BYTES, Counting, padded, rows_at

LIMIT = 10**6


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "features"


def order(store: Path, cuts=CUTS, *, compute=None) -> Order:
    targets = {cut: store / f"{cut}.features" for cut in cuts}
    return Order(Extent(10, 4), targets, ROW_BYTES, compute or Counting(), lambda: None)


def joined(order: Order, *, limit_bytes: int = LIMIT) -> contextlib.AbstractContextManager:
    folder = working_folder(next(iter(order.targets.values())).parent, "digest")
    return Workplace.joined(folder, order, limit_bytes=limit_bytes)


def work(place: Workplace, order: Order, chunks=(0, 1, 2)) -> None:
    for chunk in chunks:
        place.write(chunk, order.blocks(chunk))


def work_and_raise(order: Order, error: BaseException, chunks=(0, 1, 2)) -> None:
    """Take part, compute some chunks, and end with an error."""
    with joined(order) as place:
        work(place, order, chunks)
        raise error


def listed(store: Path) -> list[str]:
    return sorted(path.name for path in store.iterdir())


def test_sets_have_their_names_only_when_finished_and_nothing_else_is_left(store):
    asked = order(store)
    with joined(asked) as place:
        work(place, asked)
        assert "dense.features" not in listed(store)
        made = place.finish(asked)
        assert {"dense.features", "ragged.features"} < set(listed(store))

    assert listed(store) == [".lock", "dense.features", "ragged.features"]
    assert torch.equal(made["dense"].all(), rows_at(torch.arange(10))["dense"])
    assert torch.equal(made["ragged"].all(), padded(rows_at(torch.arange(10))["ragged"]))


def test_chunk_is_missing_until_every_set_has_it(store):
    asked = order(store)
    with joined(asked.only(["dense"])) as first:
        work(first, asked.only(["dense"]), [1])
        with joined(asked) as second:
            assert second.undone().tolist() == [0, 1, 2]
            assert second.lacks(1)
            work(second, asked, [1])
            assert second.undone().tolist() == [0, 2]
            assert not second.lacks(1)


def test_chunk_is_claimed_by_one_at_a_time_and_free_after_its_block(store):
    asked = order(store)
    with joined(asked) as first, joined(asked) as second:
        chunks = np.array([0, 1])
        with (
            first.claim(chunks) as mine,
            second.claim(chunks) as other,
            second.claim(chunks) as none_left,
        ):
            assert (mine, other, none_left) == (0, 1, None)
        with second.claim(chunks) as free_again:
            assert free_again == 0


def test_what_was_done_before_is_gone_on_with(store):
    asked = order(store)
    with pytest.raises(KeyboardInterrupt):
        work_and_raise(asked, KeyboardInterrupt(), [0, 2])

    with joined(asked) as place:
        assert place.undone().tolist() == [1]


def test_set_finished_meanwhile_is_found_and_not_begun_again(store):
    asked = order(store)
    with joined(asked) as place:
        work(place, asked)
        place.finish(asked)
    with joined(asked) as late:
        assert set(late.found) == set(CUTS)
        assert late.undone().tolist() == []
        assert set(late.finish(asked)) == set(CUTS)


def test_set_that_was_whole_but_had_no_name_yet_gets_it(store):
    asked = order(store)
    with pytest.raises(KeyboardInterrupt):
        work_and_raise(asked, KeyboardInterrupt())
    assert "dense.features" not in listed(store)

    with joined(asked) as place:
        assert place.undone().tolist() == []
        place.finish(asked)

    assert listed(store) == [".lock", "dense.features", "ragged.features"]


def test_two_that_finish_at_once_both_have_the_rows(store):
    asked = order(store)
    with joined(asked) as first, joined(asked) as second:
        work(first, asked)
        made = [place.finish(asked) for place in (first, second)]

    for features in made:
        assert torch.equal(features["dense"].all(), rows_at(torch.arange(10))["dense"])


def test_folder_deleted_while_work_goes_on_takes_nothing_from_who_works(store):
    asked = order(store)
    with joined(asked) as place:
        work(place, asked, [0])
        shutil.rmtree(store)
        with place.claim(place.undone()) as chunk:
            assert chunk == 1
            work(place, asked, [1, 2])
        made = place.finish(asked)

    assert torch.equal(made["ragged"].all(), padded(rows_at(torch.arange(10))["ragged"]))
    assert not store.exists()


def test_folder_deleted_and_made_again_by_others_is_not_mixed_up(store):
    asked = order(store)
    with joined(asked) as early:
        work(early, asked, [0, 1])
        shutil.rmtree(store)
        with joined(asked) as late:
            assert late.undone().tolist() == [0, 1, 2]
            work(early, asked, [2])
            early.finish(asked)
            assert late.undone().tolist() == [0, 1, 2]
            assert "dense.features" not in listed(store)


def test_disk_that_refuses_is_not_kept_full(store):
    asked = order(store)

    with pytest.raises(DiskRefused):
        work_and_raise(asked, DiskRefused("No space left on device"), [0])

    with joined(asked) as place:
        assert place.undone().tolist() == [0, 1, 2]


def test_budget_is_checked_before_any_set_is_begun(store):
    asked = order(store)

    with pytest.raises(TooLarge), joined(asked, limit_bytes=100):
        pytest.fail("there is no room")

    assert not list(store.rglob("dense*"))


def test_sets_begun_by_others_need_no_further_room(store):
    asked = order(store)
    with joined(asked, limit_bytes=asked.bytes), joined(asked, limit_bytes=asked.bytes) as second:
        assert second.undone().tolist() == [0, 1, 2]
