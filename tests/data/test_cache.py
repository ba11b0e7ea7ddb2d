"""The folder of caches: what is in it, and what goes first."""

import os
import time
from pathlib import Path

import pytest

from runner.data.cache import cache_entries, prune_cache, unfinished_entries, whole_file


@pytest.fixture
def cache(tmp_path) -> Path:
    """Three entries; `old` was used before `folder`, and that before `new`."""
    for age, name in enumerate(["pixels/new.npy", "features/folder/part", "scans/old.json"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 100_000)
        for used in (path, path.parent):
            os.utime(used, (1e9 - age, 1e9 - age))
    return tmp_path


def test_cache_entries_tells_key_kind_size_and_use(cache):
    entries = cache_entries(cache)

    assert [(entry.key, entry.kind, entry.bytes) for entry in entries] == [
        ("old", "scans", 100_000),
        ("folder", "features", 100_000),
        ("new", "pixels", 100_000),
    ]
    assert entries[0].last_used == 1e9 - 2


def test_cache_that_does_not_exist_has_no_entries(tmp_path):
    assert cache_entries(tmp_path / "nowhere") == []


def test_cache_entries_of_one_kind_leave_out_the_others(cache):
    assert [entry.key for entry in cache_entries(cache, kind="features")] == ["folder"]
    assert cache_entries(cache, kind="tokens") == []


def test_unfinished_entries_are_files_and_folders_and_no_finished_ones(cache):
    working = cache / "features" / ".tmp-working"
    working.mkdir()
    (working / "half").write_bytes(b"x" * 10)
    (cache / "pixels" / ".tmp-writing").write_bytes(b"x")

    found = {entry.path.name: entry.bytes for entry in unfinished_entries(cache)}

    assert found == {".tmp-working": 10, ".tmp-writing": 1}
    assert [entry.kind for entry in unfinished_entries(cache, kind="features")] == ["features"]


def test_prune_cache_removes_the_least_recently_used_first(cache):
    removed = prune_cache(cache, keep_bytes=150_000)

    assert [entry.key for entry in removed] == ["old", "folder"]
    assert [entry.key for entry in cache_entries(cache)] == ["new"]


def test_prune_cache_within_its_size_removes_nothing(cache):
    assert prune_cache(cache, keep_bytes=300_000) == []
    assert len(cache_entries(cache)) == 3


def test_prune_cache_removes_what_dead_writers_left(cache):
    dead, alive = cache / "pixels" / ".tmp-dead", cache / "pixels" / ".tmp-alive"
    for path in (dead, alive):
        path.write_bytes(b"x")
    os.utime(dead, (time.time() - 7200,) * 2)

    prune_cache(cache, keep_bytes=10**9)

    assert not dead.exists()
    assert alive.exists()


def test_prune_cache_removes_a_folder_that_nobody_has_written_to_for_an_hour(cache):
    dead, alive = cache / "features" / ".tmp-dead", cache / "features" / ".tmp-alive"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "half").write_bytes(b"x")
    for path in (dead / "half", dead, alive):
        os.utime(path, (time.time() - 7200,) * 2)

    assert prune_cache(cache, keep_bytes=10**9) == []

    assert not dead.exists()
    assert alive.exists()


def test_whole_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "kind" / "entry"

    def fail_half_way() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()

    assert list(path.parent.iterdir()) == []
    with whole_file(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"


def test_prune_cache_leaves_what_was_downloaded(cache):
    """Fails where a set that torchvision has downloaded goes like what can be made again."""
    there = cache / "torchvision" / "Flowers102" / "images"
    there.mkdir(parents=True)
    (there / "1.jpg").write_bytes(b"x" * 100_000)
    for path in (there / "1.jpg", there, there.parent):
        os.utime(path, (1e8, 1e8))

    removed = prune_cache(cache, keep_bytes=0)

    assert {entry.key for entry in removed} == {"old", "folder", "new"}
    assert (there / "1.jpg").exists()
