"""The store as its callers see it, in one process."""

import logging
import os
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from runner.data import cache_entries, prune_cache
from runner.reuse import FeatureStore, Ragged, TooLarge, in_memory, set_file, store
from tests.reuse.conftest import CUTS, ROW_BYTES, padded, rows_at

COUNT = 200
EVERY_ROW = torch.arange(COUNT)


def ask(
    features: FeatureStore,
    compute: Callable,
    *,
    key: str = "key",
    cuts: Sequence[str] = CUTS,
    row_bytes=ROW_BYTES,
):
    return features.get(key, count=COUNT, cuts=cuts, row_bytes=row_bytes, compute=compute)


def opened(cache: Path, *, limit_bytes: int = 10**6) -> FeatureStore:
    return FeatureStore(cache, limit_bytes=limit_bytes)


def size_of_one(cache: Path, counting) -> int:
    """Bytes of the file of a dense set."""
    ask(opened(cache), counting, cuts=["dense"])
    return sum(entry.bytes for entry in cache_entries(cache))


@pytest.fixture(params=["in memory", "mapped"])
def size(request, monkeypatch) -> str:
    """Whether sets count as small."""
    if request.param == "mapped":
        monkeypatch.setattr(set_file, "IN_MEMORY_BYTES", 0)
    return request.param


def test_features_equal_direct_computation(tmp_path, counting, size):
    got = ask(opened(tmp_path), counting)

    expected = rows_at(EVERY_ROW)
    chosen = torch.tensor([199, 3, 3, 64])
    assert torch.equal(got["dense"].gather(chosen), expected["dense"][chosen])
    assert torch.equal(got["ragged"].gather(chosen), padded(expected["ragged"])[chosen])
    assert counting.chunks == [0, 64, 128, 192]


def test_features_that_are_there_are_not_computed_again(tmp_path, counting, size):
    first = opened(tmp_path)
    ask(first, counting)
    again, elsewhere = ask(first, counting), ask(opened(tmp_path), counting)

    assert len(counting.chunks) == 4
    for got in (again, elsewhere):
        assert torch.equal(got["dense"].all(), rows_at(EVERY_ROW)["dense"])


def test_small_features_stay_in_memory_for_the_next_caller(tmp_path, counting):
    features = opened(tmp_path)

    assert ask(features, counting)["dense"] is ask(features, counting)["dense"]


def test_features_in_memory_are_given_up_in_turn(tmp_path, counting, monkeypatch):
    monkeypatch.setattr(store, "KEPT_BYTES", 1)
    features = opened(tmp_path)
    first = ask(features, counting, key="first", cuts=["dense"])["dense"]
    second = ask(features, counting, key="second", cuts=["dense"])["dense"]

    assert ask(features, counting, key="second", cuts=["dense"])["dense"] is second
    assert ask(features, counting, key="first", cuts=["dense"])["dense"] is not first
    assert len(counting.chunks) == 8


def test_only_the_cuts_that_are_missing_are_added(tmp_path, counting):
    ask(opened(tmp_path), counting, cuts=["ragged"])
    before = {entry.key: entry.path.stat().st_ino for entry in cache_entries(tmp_path)}

    ask(opened(tmp_path), counting)

    after = {entry.key: entry.path.stat().st_ino for entry in cache_entries(tmp_path)}
    assert len(after) == 2
    assert before.items() < after.items()


@pytest.mark.parametrize("other", ["key", "count", "chunk_rows"])
def test_sets_that_differ_in_anything_are_kept_apart(tmp_path, counting, other):
    def get(*, key="key", count=100, chunk_rows=64):
        features = FeatureStore(tmp_path, limit_bytes=10**6, chunk_rows=chunk_rows)
        features.get(key, count=count, cuts=["dense"], row_bytes=ROW_BYTES, compute=counting)

    get()
    get(**{other: {"key": "other", "count": 101, "chunk_rows": 32}[other]})

    assert len(cache_entries(tmp_path)) == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_stored_as_it_is(tmp_path, dtype, size):
    rows = torch.randn(COUNT, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    lengths = EVERY_ROW % 3 + 1
    steps = torch.repeat_interleave(EVERY_ROW, lengths)
    flat = torch.randn(len(steps), 7, generator=torch.Generator().manual_seed(1)).to(dtype)

    def compute(positions):
        at = torch.from_numpy(positions)
        chosen = (steps >= at[0]) & (steps <= at[-1])
        return {"dense": rows[at], "ragged": Ragged(flat[chosen], lengths[at])}

    got = ask(opened(tmp_path), compute)

    assert torch.equal(got["dense"].all(), rows)
    assert torch.equal(got["ragged"].all(), padded(Ragged(flat, lengths)))
    assert got["dense"].all().dtype == dtype
    assert got["dense"].nbytes == COUNT * 7 * 2


def test_set_beyond_the_budget_is_refused_before_anything_is_computed(tmp_path, counting):
    row_bytes = {"dense": 10_000, "ragged": 5_000}

    with pytest.raises(TooLarge) as refused:
        ask(opened(tmp_path, limit_bytes=2_500_000), counting, row_bytes=row_bytes)

    assert 3_000_000 <= refused.value.needed_bytes < 3_050_000
    assert refused.value.limit_bytes == 2_500_000
    assert counting.chunks == []
    assert not (tmp_path / "features").exists()


def test_set_that_is_there_is_given_whatever_the_budget_is_now(tmp_path, counting):
    ask(opened(tmp_path), counting)

    ask(opened(tmp_path, limit_bytes=1), counting)

    assert len(counting.chunks) == 4


def test_budget_is_kept_by_removing_what_was_used_longest_ago(tmp_path, counting):
    one = size_of_one(tmp_path / "measured", counting)
    features = opened(tmp_path / "cache", limit_bytes=3 * one)
    for number, key in enumerate(["a", "b", "c"]):
        ask(features, counting, key=key, cuts=["dense"])
        newest = cache_entries(tmp_path / "cache")[-1].path
        os.utime(newest, (1e9 + number,) * 2)
    counting.chunks.clear()

    ask(features, counting, key="a", cuts=["dense"])  # used again: now b is the oldest
    ask(features, counting, key="d", cuts=["dense"])

    assert len(counting.chunks) == 4
    assert sum(entry.bytes for entry in cache_entries(tmp_path / "cache")) <= 3 * one
    counting.chunks.clear()
    fresh = opened(tmp_path / "cache", limit_bytes=3 * one)
    for key in ("a", "d"):
        ask(fresh, counting, key=key, cuts=["dense"])
    assert counting.chunks == []
    ask(fresh, counting, key="b", cuts=["dense"])
    assert len(counting.chunks) == 4


def test_features_removed_for_others_are_still_readable(tmp_path, counting, monkeypatch):
    monkeypatch.setattr(set_file, "IN_MEMORY_BYTES", 0)
    one = size_of_one(tmp_path / "measured", counting)
    features = opened(tmp_path / "cache", limit_bytes=one + one // 2)
    held = ask(features, counting, key="a", cuts=["dense"])["dense"]

    ask(features, counting, key="b", cuts=["dense"])

    assert len(cache_entries(tmp_path / "cache")) == 1
    assert torch.equal(held.all(), rows_at(EVERY_ROW)["dense"])


def test_cache_deleted_while_features_are_open_takes_nothing_away(tmp_path, counting, size):
    features = opened(tmp_path / "cache")
    held = ask(features, counting)

    shutil.rmtree(tmp_path / "cache")

    assert torch.equal(held["dense"].all(), rows_at(EVERY_ROW)["dense"])
    again = ask(opened(tmp_path / "cache"), counting)
    assert torch.equal(again["ragged"].all(), padded(rows_at(EVERY_ROW)["ragged"]))


def test_cache_deleted_while_features_are_computed_takes_nothing_away(tmp_path, counting, size):
    def delete(positions) -> None:
        if positions[0] == 128:
            shutil.rmtree(tmp_path / "cache")

    counting.before = delete

    got = ask(opened(tmp_path / "cache"), counting)

    assert counting.chunks == [0, 64, 128, 192]
    assert torch.equal(got["dense"].all(), rows_at(EVERY_ROW)["dense"])


def test_damaged_file_is_made_again(tmp_path, counting):
    ask(opened(tmp_path), counting, cuts=["dense"])
    path = cache_entries(tmp_path)[0].path
    path.write_bytes(path.read_bytes()[:-1])

    got = ask(opened(tmp_path), counting, cuts=["dense"])

    assert len(counting.chunks) == 8
    assert torch.equal(got["dense"].all(), rows_at(EVERY_ROW)["dense"])
    assert set_file.read_set(path, set_file.Extent(COUNT, 64)) is not None


def test_folder_that_cannot_be_written_keeps_features_in_memory(tmp_path, counting, caplog):
    (tmp_path / "features").write_text("no folder")
    features = opened(tmp_path)

    with caplog.at_level(logging.WARNING):
        got = ask(features, counting)
    again = ask(features, counting)

    assert torch.equal(got["dense"].all(), rows_at(EVERY_ROW)["dense"])
    assert again["ragged"] is got["ragged"]
    assert len(counting.chunks) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"features cannot be kept in {tmp_path}/features ([Errno 17] File exists: "
        f"'{tmp_path}/features'); kept in memory"
    ]


def test_folder_that_allows_no_locks_gives_what_is_there_and_the_rest_from_memory(
    tmp_path, counting, caplog
):
    ask(opened(tmp_path), counting, cuts=["dense"])
    lock = tmp_path / "features" / ".lock"
    lock.unlink()
    lock.mkdir()  # refuses to be opened for writing, like a read-only folder, but to root too

    with caplog.at_level(logging.WARNING):
        got = ask(opened(tmp_path), counting)

    assert torch.equal(got["dense"].all(), rows_at(EVERY_ROW)["dense"])
    assert torch.equal(got["ragged"].all(), padded(rows_at(EVERY_ROW)["ragged"]))
    assert f"Is a directory: '{lock}'); kept in memory" in caplog.text
    assert len(cache_entries(tmp_path, kind="features")) == 1


@pytest.fixture
def file_limit():
    """Sets how large a file may become: beyond it, the system refuses as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_disk_that_is_full_half_way_keeps_features_in_memory(
    tmp_path, counting, caplog, file_limit
):
    file_limit(10_500)  # room for the first of four chunks

    with caplog.at_level(logging.WARNING):
        got = ask(opened(tmp_path), counting, cuts=["ragged"], row_bytes={"ragged": 0})
    file_limit(resource.RLIM_INFINITY)

    assert torch.equal(got["ragged"].all(), padded(rows_at(EVERY_ROW)["ragged"]))
    assert "features cannot be kept" in caplog.text
    assert "File too large" in caplog.text
    assert counting.chunks == [0, 64, 0, 64, 128, 192]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 0


def test_disk_without_enough_space_is_not_begun_to_be_filled(
    tmp_path, counting, caplog, monkeypatch
):
    monkeypatch.setattr(in_memory, "free_memory", lambda: 10**18)
    free = shutil.disk_usage(tmp_path).free
    row_bytes = {"dense": free // COUNT + 10**6}

    features = opened(tmp_path, limit_bytes=10**18)
    with caplog.at_level(logging.WARNING):
        ask(features, counting, cuts=["dense"], row_bytes=row_bytes)

    assert "No space left on device" in caplog.text
    assert cache_entries(tmp_path) == []


def test_no_rows_are_refused(tmp_path, counting):
    with pytest.raises(ValueError, match="features of 0 rows"):
        opened(tmp_path).get("key", count=0, cuts=CUTS, row_bytes=ROW_BYTES, compute=counting)


def test_use_counts_for_pruning_the_cache(tmp_path, counting):
    ask(opened(tmp_path), counting, key="used", cuts=["dense"])
    ask(opened(tmp_path), counting, key="unused", cuts=["dense"])
    for entry in cache_entries(tmp_path):
        os.utime(entry.path, (1e9, 1e9))
    ask(opened(tmp_path), counting, key="used", cuts=["dense"])
    one = cache_entries(tmp_path)[0].bytes

    removed = prune_cache(tmp_path, keep_bytes=one)

    assert [entry.kind for entry in removed] == ["features"]
    counting.chunks.clear()
    ask(opened(tmp_path), counting, key="used", cuts=["dense"])
    assert counting.chunks == []


def test_pruning_the_cache_removes_what_was_left_half_made(tmp_path, counting):
    def stop(positions) -> None:
        if positions[0] == 64:
            raise KeyboardInterrupt

    counting.before = stop
    with pytest.raises(KeyboardInterrupt):
        ask(opened(tmp_path), counting)
    (unfinished,) = (tmp_path / "features").glob(".tmp-*")

    prune_cache(tmp_path, keep_bytes=0)
    assert unfinished.exists()  # somebody may be at it
    for path in (unfinished, *unfinished.iterdir()):
        os.utime(path, (time.time() - 7200,) * 2)
    prune_cache(tmp_path, keep_bytes=0)

    assert not unfinished.exists()
