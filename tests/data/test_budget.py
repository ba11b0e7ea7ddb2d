"""What prepared examples may take, what goes when more is needed, and what must stay."""

import fcntl
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.data.budget import Allowance, NoRoom, fit, is_used, make_prepared_room
from runner.data.cache import cache_entries

SIZE = 1000
GIB = 2**30


@pytest.fixture
def cache(tmp_path) -> Path:
    """Three finished sets; `new` was used after `middle`, and that after `old`."""
    for age, name in enumerate(["pixels/new.npy", "tokens/middle.tokens", "pixels/old.npy"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(SIZE))
        os.utime(path, (1e9 - age * 100,) * 2)
    return tmp_path


@pytest.fixture
def hold():
    """Locks files as a process does that has them mapped, until the test ends."""
    numbers = []

    def lock(path: Path, mode: int = fcntl.LOCK_SH) -> None:
        numbers.append(os.open(path, os.O_RDWR | os.O_CREAT))
        fcntl.flock(numbers[-1], mode)

    yield lock
    for number in numbers:
        os.close(number)


def room(cache: Path, new_bytes: int, limit_bytes: int) -> None:
    make_prepared_room(cache, new_bytes=new_bytes, allowance=Allowance(limit_bytes / GIB))


def names(cache: Path) -> list[str]:
    return sorted(path.stem for path in cache.glob("*/*"))


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
def test_room_is_made_by_removing_what_was_used_longest_ago(cache, new_bytes, left):
    """Fails where `fit` removes nothing. Fails where it does not stop once there is room."""
    room(cache, new_bytes, 3 * SIZE)

    assert names(cache) == left


def test_lower_limit_is_kept_without_anything_new(cache):
    """Fails where `fit` removes nothing."""
    room(cache, 0, SIZE)

    assert names(cache) == ["new"]


def test_set_that_is_used_stays_and_counts(cache, hold):
    hold(cache / "pixels" / "old.npy")

    room(cache, SIZE, 2 * SIZE)
    assert names(cache) == ["old"]

    with pytest.raises(NoRoom) as refused:
        room(cache, SIZE + 1, 2 * SIZE)
    assert (refused.value.needed_bytes, refused.value.limit_bytes) == (SIZE + 1, SIZE)
    room(cache, 0, 0)
    assert names(cache) == ["old"]


def test_set_that_is_taken_in_this_very_moment_leaves_no_room(cache):
    """As when a process maps it after the look. Fails where `fit` does not count at its end."""
    idle = cache_entries(cache, kind="tokens")
    with pytest.raises(NoRoom) as refused:
        fit(idle, lambda entry: False, room_bytes=SIZE, new_bytes=SIZE)
    assert (refused.value.needed_bytes, refused.value.limit_bytes) == (SIZE, 0)


def test_what_cannot_fit_removes_nothing(cache):
    """Fails where the room is not looked at before anything is removed (`fit`)."""
    with pytest.raises(NoRoom):
        room(cache, 4 * SIZE, 3 * SIZE)

    assert len(names(cache)) == 3


def test_half_made_set_of_a_dead_process_goes_at_once(cache):
    (cache / "pixels" / ".tmp-half.npy").write_bytes(bytes(SIZE))

    room(cache, 0, 100 * SIZE)

    assert names(cache) == ["middle", "new", "old"]


def test_set_that_is_being_made_stays_and_counts_with_what_is_reserved(cache, hold):
    half = cache / "pixels" / ".tmp-half.npy"
    hold(half, fcntl.LOCK_EX)
    os.truncate(half, 2 * SIZE)  # nothing of it is written

    room(cache, SIZE, 3 * SIZE)

    assert names(cache) == [".tmp-half"]


def test_other_kinds_of_the_cache_are_left_alone(cache):
    features = cache / "features" / "some.features"
    features.parent.mkdir()
    features.write_bytes(bytes(SIZE))

    room(cache, 0, 0)

    assert names(cache) == ["some"]


def test_file_of_another_user_counts_as_used(cache, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)

    assert is_used(cache / "pixels" / "old.npy")


def disk(monkeypatch, *, total_gib: float, free_gib: float) -> None:
    usage = SimpleNamespace(total=int(total_gib * GIB), free=int(free_gib * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "limit_gib"),
    [
        (1000, 600, 200),  # a fifth
        (1000, 50, 46),  # not the last four
        (1000, 3, 0),
        (10, 9, 2),
    ],
)
def test_auto_takes_a_fifth_and_leaves_some(tmp_path, monkeypatch, total_gib, free_gib, limit_gib):
    disk(monkeypatch, total_gib=total_gib, free_gib=free_gib)

    assert Allowance().limit_bytes(tmp_path) == limit_gib * GIB


def test_auto_counts_what_is_there_as_room_but_not_what_is_only_reserved(tmp_path, monkeypatch):
    disk(monkeypatch, total_gib=1000, free_gib=10)
    path = tmp_path / "pixels" / "set.npy"
    path.parent.mkdir()
    path.write_bytes(bytes(2**20))
    os.truncate(path, 2**30)

    assert Allowance().limit_bytes(tmp_path) == 6 * GIB + 2**20


@pytest.mark.parametrize(("asked", "limit_gib"), [(0, 0), (0.5, 0.5), (8, 8), (100, 10)])
def test_number_is_taken_as_it_is_as_far_as_the_disk_goes(tmp_path, monkeypatch, asked, limit_gib):
    disk(monkeypatch, total_gib=1000, free_gib=10)

    assert Allowance(asked).limit_bytes(tmp_path / "not" / "yet" / "there") == limit_gib * GIB
