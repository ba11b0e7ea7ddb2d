"""What goes when room is needed, and what must stay."""

import os
import time
from pathlib import Path

import pytest

from runner.data.disk import does_lock, lock_file
from runner.reuse.boot import machine_name
from runner.reuse.budget import MEMBERS, make_room, working_folder
from runner.reuse.errors import TooLarge

SIZE = 1000


@pytest.fixture
def store(tmp_path) -> Path:
    """Three finished sets; `new` was used after `middle`, and that after `old`."""
    folder = tmp_path / "features"
    folder.mkdir()
    for age, name in enumerate(["new", "middle", "old"]):
        path = folder / f"{name}.features"
        path.write_bytes(bytes(SIZE))
        os.utime(path, (1e9 - age * 100,) * 2)
    (folder / ".lock").touch()
    return folder


def begun(folder: Path, *, age_s: float = 0.0, size: int = SIZE) -> Path:
    """An unfinished folder with one set in it, untouched for so long."""
    folder.mkdir()
    for path in (folder / MEMBERS, folder / "0.lock", folder / "aset"):
        path.write_bytes(bytes(size if path.name == "aset" else 0))
    for path in (*folder.iterdir(), folder):
        os.utime(path, (time.time() - age_s,) * 2)
    return folder


def names(store: Path) -> list[str]:
    return sorted(path.stem for path in store.iterdir() if path.name != ".lock")


@pytest.mark.parametrize(
    ("new_bytes", "left"),
    [
        (0, ["middle", "new", "old"]),
        (1, ["middle", "new"]),
        (SIZE, ["middle", "new"]),
        (SIZE + 1, ["new"]),
        (3 * SIZE, []),
    ],
)
def test_room_is_made_by_removing_what_was_used_longest_ago(store, new_bytes, left):
    """Fails where `fit` removes nothing. Fails where it does not stop once there is room."""
    make_room(store, new_bytes=new_bytes, limit_bytes=3 * SIZE)

    assert names(store) == left


def test_lower_limit_is_kept_without_anything_new(store):
    """Fails without `fit`."""
    make_room(store, new_bytes=0, limit_bytes=2 * SIZE)

    assert names(store) == ["middle", "new"]


def test_other_kinds_of_the_cache_are_left_alone(store):
    pixels = store.parent / "pixels" / "some.npy"
    pixels.parent.mkdir()
    pixels.write_bytes(bytes(SIZE))

    make_room(store, new_bytes=0, limit_bytes=0)

    assert names(store) == []
    assert pixels.exists()


def test_set_that_is_being_made_stays_and_counts(store):
    """Fails without `fit`."""
    folder = begun(working_folder(store, "digest"), age_s=10**6)
    with lock_file(folder / MEMBERS) as worker:
        does_lock(worker, is_shared=True)

        make_room(store, new_bytes=SIZE, limit_bytes=3 * SIZE)
        assert names(store) == sorted([folder.stem, "new"])

        with pytest.raises(TooLarge) as refused:
            make_room(store, new_bytes=2 * SIZE, limit_bytes=2 * SIZE)
    assert (refused.value.needed_bytes, refused.value.limit_bytes) == (2 * SIZE, SIZE)
    assert (folder / "aset").exists()


def test_set_that_nobody_is_making_any_more_goes_in_its_turn(store):
    folder = begun(working_folder(store, "digest"), age_s=60)

    make_room(store, new_bytes=0, limit_bytes=SIZE)
    assert names(store) == [folder.stem]

    make_room(store, new_bytes=SIZE, limit_bytes=SIZE)
    assert names(store) == []


def test_empty_folder_without_workers_goes_at_once(store):
    folder = begun(working_folder(store, "digest"))
    (folder / "aset").unlink()

    make_room(store, new_bytes=0, limit_bytes=10**9)

    assert not folder.exists()
    assert len(names(store)) == 3


def test_what_was_begun_before_the_machine_started_last_is_not_trusted(store):
    folder = begun(store / f".tmp-{machine_name()}-an-earlier-start-digest")

    make_room(store, new_bytes=0, limit_bytes=10**9)

    assert not folder.exists()


def test_what_another_machine_makes_stays_and_counts_until_it_is_abandoned(store):
    folder = begun(store / ".tmp-0000aaaa-boot-digest", age_s=600)

    with pytest.raises(TooLarge):
        make_room(store, new_bytes=SIZE, limit_bytes=SIZE)
    assert folder.exists()

    for path in (*folder.iterdir(), folder):
        os.utime(path, (time.time() - 7200,) * 2)
    make_room(store, new_bytes=SIZE, limit_bytes=SIZE)
    assert not folder.exists()


def test_too_large_says_what_it_takes_and_where_the_budget_is_set():
    assert str(TooLarge(3 * 2**30, 2**29)) == (
        "features of 3 GiB do not fit into the 0.5 GiB there are for them; reuse.gib in the "
        "experiment file sets the budget"
    )
