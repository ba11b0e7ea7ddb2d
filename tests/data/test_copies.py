"""Copies of data from elsewhere: whole or not there, made once, and kept while they are used."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.data import NoRoom, copies, kept_copy, prune_cache
from runner.data.cache import cache_entries

WAIT_S = 60.0
# Says that it is in `fill`, stays there for a while, and notes there that it was.
MAKER = """
import sys, time
from pathlib import Path
from runner.data.copies import kept_copy

cache, seconds = Path(sys.argv[1]), float(sys.argv[2])

def fill(folder):
    with (cache / "fills").open("a") as file:
        file.write("x")
    (folder / "first").write_text("1")
    time.sleep(seconds)
    (folder / "second").write_text("2")

folder = kept_copy(cache, "cats", nbytes=2, fill=fill)
print(sorted(path.name for path in folder.iterdir()), flush=True)
sys.stdin.read()
"""


def write(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "file").write_bytes(b"x" * 1000)


def never(folder: Path) -> None:
    raise AssertionError("it is there")


@pytest.fixture(autouse=True)
def no_copies_of_other_tests():
    yield
    for stack in copies._used.values():
        stack.close()
    copies._used.clear()


def start(cache: Path, seconds: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(cache), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(maker: "subprocess.Popen[str]") -> str:
    said, _ = maker.communicate(timeout=WAIT_S)
    return said


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_copy_is_made_once_and_then_there(tmp_path):
    folder = kept_copy(tmp_path, "cats", nbytes=1000, fill=write)

    assert (folder / "below" / "file").stat().st_size == 1000
    assert kept_copy(tmp_path, "cats", nbytes=1000, fill=never) == folder
    (entry,) = cache_entries(tmp_path)
    assert (entry.kind, entry.key, entry.bytes) == ("copies", "cats", 1000)


def test_copy_that_cannot_be_made_leaves_nothing(tmp_path):
    def fails(folder: Path) -> None:
        write(folder)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        kept_copy(tmp_path, "cats", nbytes=1000, fill=fails)
    assert [path.name for path in (tmp_path / "copies").iterdir() if path.is_dir()] == []
    kept_copy(tmp_path, "cats", nbytes=1000, fill=write)


def test_two_processes_make_one_copy_together(tmp_path):
    makers = [start(tmp_path, 0.3), start(tmp_path, 0.3)]

    assert [finish(maker) for maker in makers] == ["['first', 'second']\n"] * 2
    assert (tmp_path / "fills").read_text() == "x"


def test_copy_whose_maker_was_killed_is_made_by_the_next(tmp_path):
    maker = start(tmp_path, 600.0)
    wait_for(tmp_path / "copies" / ".tmp-cats" / "first")
    maker.send_signal(signal.SIGKILL)
    maker.communicate()

    assert not (tmp_path / "copies" / "cats").exists()
    folder = kept_copy(tmp_path, "cats", nbytes=1000, fill=write)
    assert [path.name for path in folder.iterdir()] == ["below"]


def test_copy_in_use_is_not_pruned_and_goes_when_its_user_has_gone(tmp_path):
    user = start(tmp_path, 0.0)
    wait_for(tmp_path / "copies" / "cats" / "second")
    assert user.stdout is not None
    user.stdout.readline()

    assert prune_cache(tmp_path, keep_bytes=0) == []
    finish(user)
    assert [entry.key for entry in prune_cache(tmp_path, keep_bytes=0)] == ["cats"]


def test_copies_that_nobody_uses_make_room_the_oldest_first(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "SHARE_OF_DISK", 0.0)
    for age, key in enumerate(["new", "old"]):
        kept_copy(tmp_path, key, nbytes=1000, fill=write)
        for path in (tmp_path / "copies" / key).rglob("*"):
            os.utime(path, (1e9 - age, 1e9 - age))
        os.utime(tmp_path / "copies" / key, (1e9 - age, 1e9 - age))
        copies._used.pop(tmp_path / "copies" / key).close()
    # The first made room for itself by removing none: it was alone.
    assert [entry.key for entry in cache_entries(tmp_path)] == ["old"]

    kept_copy(tmp_path, "next", nbytes=1000, fill=write)
    assert [entry.key for entry in cache_entries(tmp_path)] == ["next"]


def test_copy_larger_than_the_disk_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(NoRoom) as refused:
        kept_copy(tmp_path, "cats", nbytes=2**60, fill=never)
    assert refused.value.needed_bytes == 2**60
