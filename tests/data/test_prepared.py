"""Prepared sets: made once, whole or not at all, kept while they are used; alone and by many."""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runner.data import prepared
from runner.data.budget import Allowance, NoRoom, is_used
from runner.data.disk import DiskRefused
from runner.data.prepared import PreparedSets, SetWriter
from runner.heartbeat import pulse
from tests.data.preparer import PIECES, SET_BYTES, digest

SIZE = 10_000
CONTENT = bytes(range(250)) * (SIZE // 250)


class Maker:
    """Asks for sets, and counts how often one had to be made."""

    def __init__(self, cache: Path, *, limit_bytes: int = 10**9) -> None:
        self.sets = PreparedSets(cache, Allowance(limit_bytes / 2**30))
        self.cache, self.made = cache, 0

    def get(self, name: str = "a", *, content: bytes = CONTENT, needed: int = SIZE) -> np.ndarray:
        def write(file: SetWriter) -> None:
            self.made += 1
            for start in range(0, len(content), 1000):
                file.write(content[start : start + 1000])

        return self.sets.get(
            self.path(name),
            parse=lambda found: found if len(found) == len(content) else None,
            write=write,
            needed_bytes=lambda: needed,
        )

    def path(self, name: str = "a") -> Path:
        return self.cache / "pixels" / f"{name}.npy"

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in (self.cache / "pixels").iterdir())


@pytest.fixture
def maker(tmp_path) -> Maker:
    return Maker(tmp_path)


def test_set_is_made_once_and_mapped_read_only(maker):
    before = pulse.beats
    first, second = maker.get(), maker.get()

    # What is written is a sign of life.
    assert pulse.beats - before == SIZE // 1000
    assert first.tobytes() == second.tobytes() == CONTENT
    assert maker.made == 1
    assert not first.flags.writeable
    assert maker.files == ["a.npy"]


@pytest.mark.parametrize("is_found", [False, True])
def test_set_is_in_use_as_long_as_a_view_of_it_lives(maker, is_found):
    if is_found:
        maker.get()
        gc.collect()
    whole = maker.get()
    view = whole[10:20].reshape(2, 5)
    del whole
    gc.collect()
    assert is_used(maker.path())

    del view
    gc.collect()
    assert not is_used(maker.path())


def test_set_in_use_is_not_removed_for_another(tmp_path):
    maker = Maker(tmp_path, limit_bytes=2 * SIZE)
    kept = maker.get("kept")
    maker.get("idle")

    maker.get("new")

    assert maker.files == ["kept.npy", "new.npy"]
    assert kept.tobytes() == CONTENT


def test_set_that_does_not_fit_beside_those_in_use_is_refused_and_removes_none(tmp_path):
    maker = Maker(tmp_path, limit_bytes=2 * SIZE)
    kept = maker.get("kept")
    maker.get("idle")

    with pytest.raises(NoRoom):
        maker.get("large", content=CONTENT + b"x" * 1000, needed=SIZE + 1000)

    assert maker.files == ["idle.npy", "kept.npy"]
    assert kept.tobytes() == CONTENT


def test_budget_that_became_smaller_holds_at_the_next_look(tmp_path):
    roomy = Maker(tmp_path)
    for name in ("a", "b", "c"):
        roomy.get(name)
        os.utime(roomy.path(name), (1e9 + ord(name),) * 2)

    mapped = Maker(tmp_path, limit_bytes=SIZE).get("a")

    assert roomy.files == ["a.npy"]
    assert mapped.tobytes() == CONTENT


def test_writing_that_fails_leaves_nothing(maker):
    def broken(file: SetWriter) -> None:
        file.write(b"half")
        raise FileNotFoundError("an image, not the disk")

    with pytest.raises(FileNotFoundError, match="an image"):
        maker.sets.get(maker.path(), parse=bytes, write=broken, needed_bytes=lambda: SIZE)

    assert maker.files == []


def test_set_that_becomes_larger_than_expected_takes_more_room(maker):
    assert maker.get(needed=10).tobytes() == CONTENT
    assert maker.path().stat().st_size == SIZE


def test_set_that_becomes_larger_than_there_is_room_is_refused_and_leaves_nothing(tmp_path):
    maker = Maker(tmp_path, limit_bytes=SIZE - 1)

    with pytest.raises(NoRoom):
        maker.get(needed=10)

    assert maker.files == []


def test_set_that_becomes_smaller_than_expected_is_cut(maker):
    maker.get(needed=10 * SIZE)

    assert maker.path().stat().st_size == SIZE


def test_damaged_set_is_made_again(maker):
    maker.get()
    maker.path().write_bytes(CONTENT[:-1])

    assert maker.get().tobytes() == CONTENT
    assert maker.made == 2


def test_half_made_set_of_a_killed_process_is_begun_anew_and_takes_no_room(tmp_path):
    maker = Maker(tmp_path, limit_bytes=SIZE)
    maker.path().parent.mkdir()
    maker.path(".tmp-a").write_bytes(b"x" * 99_999)

    assert maker.get().tobytes() == CONTENT
    assert maker.files == ["a.npy"]


def test_folder_that_is_deleted_meanwhile_is_the_disks_refusal(maker, tmp_path):
    import shutil

    def write(file: SetWriter) -> None:
        file.write(CONTENT)
        shutil.rmtree(tmp_path / "pixels")

    with pytest.raises(DiskRefused):
        maker.sets.get(maker.path(), parse=bytes, write=write, needed_bytes=lambda: SIZE)


def test_disk_without_locks_can_be_read_from_and_removes_nothing(maker, monkeypatch):
    maker.get()

    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(prepared.fcntl, "flock", refuse)

    assert maker.get().tobytes() == CONTENT
    assert maker.made == 1
    with pytest.raises(DiskRefused, match="No locks"):
        maker.get("other")
    assert maker.files == ["a.npy"]


def test_threads_that_want_one_set_make_it_once(tmp_path):
    makers, start, got = [Maker(tmp_path) for _ in range(4)], threading.Barrier(4), []

    def ask(maker: Maker) -> None:
        start.wait()
        got.append(maker.get().tobytes())

    threads = [threading.Thread(target=ask, args=(maker,)) for maker in makers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == [CONTENT] * 4
    assert sum(maker.made for maker in makers) == 1


def test_maker_that_does_not_get_on_is_not_waited_for_for_ever(maker, monkeypatch):
    maker.path().parent.mkdir()
    working = maker.path(".tmp-a")
    held = os.open(working, os.O_RDWR | os.O_CREAT)
    prepared.fcntl.flock(held, prepared.fcntl.LOCK_EX)
    monkeypatch.setattr(prepared, "PATIENCE_S", 0.2)
    began = time.monotonic()

    with pytest.raises(DiskRefused, match=r"has not written for 0\.2 s"):
        maker.get()

    assert 0.1 < time.monotonic() - began < 10
    assert working.exists()
    os.close(held)


@pytest.mark.slow
def test_full_disk_leaves_nothing_half_written(tmp_path):
    # A limit on the size of files stands for the end of the disk: the same call is refused.
    program = """
import resource, sys
from pathlib import Path
from tests.data.test_prepared import Maker, CONTENT
from runner.data.disk import DiskRefused

resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
maker = Maker(Path(sys.argv[1]))
try:
    maker.get(needed=10)
except DiskRefused as error:
    print("refused", error, maker.files)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert answer.stdout.startswith("refused [Errno 27] File too large")
    assert answer.stdout.strip().endswith("[]")


class Preparer:
    """A process of preparer.py."""

    def __init__(self, cache: Path, name: str, **options) -> None:
        asked = {"limit_bytes": 10**9, "hang_at": None, "pause_s": 0.0, **options}
        command = [sys.executable, "-m", "tests.data.preparer", str(cache), name]
        self.process = subprocess.Popen(
            [*command, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.lines: list[str] = []
        self.read_until("ready")

    def go(self) -> "Preparer":
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self

    def read_until(self, start: str) -> str:
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if line.startswith(start):
                return line.strip()
        raise AssertionError(f"it ended with {self.process.wait()} after {self.lines}")

    @property
    def pieces(self) -> int:
        return sum(line.startswith("writes") for line in self.lines)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def preparers(cache: Path, *asked: tuple[str, dict]) -> Iterator[list[Preparer]]:
    started = [Preparer(cache, name, **options) for name, options in asked]
    try:
        yield started
    finally:
        for each in started:
            each.process.kill()
            each.process.wait()
            for pipe in (each.process.stdin, each.process.stdout):
                pipe.close()


@pytest.mark.slow
def test_two_processes_share_one_making(tmp_path):
    with preparers(tmp_path, ("a", {"pause_s": 0.05}), ("a", {})) as (first, second):
        first.go().read_until("writes 1")
        second.go()

        assert first.read_until("has") == second.read_until("has") == f"has {digest('a')}"
        assert (first.pieces, second.pieces) == (PIECES, 0)


@pytest.mark.slow
def test_set_whose_maker_is_killed_is_made_by_who_waits(tmp_path):
    with preparers(tmp_path, ("a", {"hang_at": 3}), ("a", {})) as (first, second):
        first.go().read_until("writes 3")
        second.go()
        time.sleep(0.2)
        assert second.pieces == 0

        first.kill()

        assert second.read_until("has") == f"has {digest('a')}"
        assert second.pieces == PIECES
    assert [path.name for path in (tmp_path / "pixels").iterdir()] == ["a.npy"]


@pytest.mark.slow
def test_room_of_a_killed_maker_is_free_at_once(tmp_path):
    limit = {"limit_bytes": SET_BYTES}
    with preparers(tmp_path, ("a", {**limit, "hang_at": 3}), ("b", limit), ("c", limit)) as (
        making,
        refused,
        later,
    ):
        making.go().read_until("writes 3")
        # What is reserved counts, although not half of it is written.
        refused.go().read_until("no room")

        making.kill()

        assert later.go().read_until("has") == f"has {digest('c')}"
    assert [path.name for path in (tmp_path / "pixels").iterdir()] == ["c.npy"]


@pytest.mark.slow
def test_searches_at_once_never_take_what_the_other_uses(tmp_path):
    limit = {"limit_bytes": 2 * SET_BYTES}
    names = ["a", "b", "c", "d"]
    with preparers(tmp_path, *((name, limit) for name in names)) as (a, b, c, d):
        for each in (a, b):
            each.go().read_until("has")
        c.go().read_until("no room")

        a.kill()
        d.go().read_until("has")

        b.go().read_until(f"still {digest('b')}")
        assert sorted(path.stem for path in (tmp_path / "pixels").iterdir()) == ["b", "d"]


@pytest.mark.slow
def test_many_processes_with_little_room_end_with_whole_sets_within_it(tmp_path):
    limit = {"limit_bytes": 3 * SET_BYTES, "pause_s": 0.005}
    asked = [("abcdef"[number % 6], limit) for number in range(12)]
    with preparers(tmp_path, *asked) as started:
        for each in started:
            each.go()
        for number, each in enumerate(started):
            if number % 4 == 3:
                each.kill()
        for number, each in enumerate(started):
            if number % 4 != 3:
                each.process.stdin.close()
                rest = each.process.stdout.read()
                name = asked[number][0]
                assert "no room" in rest or f"has {digest(name)}" in rest

    # The next look removes what the killed left.
    Maker(tmp_path, limit_bytes=3 * SET_BYTES).get("small")
    sizes = [path.stat().st_size for path in (tmp_path / "pixels").iterdir()]
    assert sum(sizes) <= 3 * SET_BYTES
    assert set(sizes) <= {SET_BYTES, SIZE}
