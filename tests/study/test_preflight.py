"""Before a search begins: disks that cannot be written are named, little room is said.

Seen to fail with the file that is tried to be written taken out.
"""

import tempfile
from pathlib import Path

import pytest

from runner.errors import DiskRefused
from runner.experiment import Store
from runner.study import preflight, room_for_weights
from tests.disks import Disk


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_preflight_makes_what_is_missing_and_leaves_no_file(store: Store) -> None:
    preflight(store, store.study("cats") / "1")
    assert store.cache.is_dir()
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_preflight_names_the_folder_that_is_on_a_full_or_read_only_disk(
    disk: Disk, store: Store
) -> None:
    folder = disk.path / "studies" / "cats" / "1"
    preflight(store, folder)
    disk.fill()
    with pytest.raises(DiskRefused, match=f"{folder} cannot be written: the disk is full"):
        preflight(store, folder)
    disk.make_room()
    disk.remount("ro")
    with pytest.raises(DiskRefused, match=f"{folder} cannot be written: its file system is read"):
        preflight(store, folder)


@pytest.mark.parametrize("place", ["cache", "root"])
def test_preflight_looks_at_the_cache_and_the_store_too(
    disk: Disk, tmp_path: Path, place: str
) -> None:
    store = Store(tmp_path / "store" if place == "cache" else disk.path)
    if place == "cache":
        store.root.mkdir()
        store.cache.symlink_to(disk.path)
    disk.remount("ro")
    with pytest.raises(DiskRefused, match="read-only"):
        preflight(store, tmp_path / "study")


def test_preflight_names_a_folder_for_temporary_files_that_cannot_be_written(
    disk: Disk, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(disk.path))
    preflight(store, store.root / "study")
    disk.remount("ro")
    with pytest.raises(DiskRefused, match=f"{disk.path} cannot be written: "):
        preflight(store, store.root / "study")


def test_preflight_without_any_folder_for_temporary_files_says_what_to_set(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(DiskRefused, match="there is no folder for temporary files: .*TMPDIR"):
        preflight(store, store.root / "study")


def test_preflight_says_that_there_is_little_room_once_for_a_disk(
    disk: Disk, tmp_path: Path
) -> None:
    store = Store(disk.path)
    (said,) = [each for each in preflight(store, store.study("cats") / "1") if "disk" in each]
    assert said.startswith("only 0.01 GiB are free on the disk of ")


def test_room_for_weights_is_said_to_be_missing_where_it_is(disk: Disk) -> None:
    details = {"weights_bytes": 2**22}
    assert room_for_weights(disk.path, details, count=1) == []
    assert room_for_weights(disk.path, {}, count=5) == []
    (said,) = room_for_weights(disk.path, details, count=300)
    assert said == (
        "the weights of the best 300 trials (tracking.keep_weights) may take up to 1.17 GiB, and "
        f"0.01 GiB are free on the disk of {disk.path}"
    )
