"""Records that wait keep their order and their number, whatever holds them."""

import errno
import os
import random
from pathlib import Path

import pytest

from runner.tracking.backlog import Backlog
from runner.tracking.records import (
    Batch,
    End,
    FileCopy,
    Open,
    Point,
    Record,
    RunStatus,
    Texts,
)


def ending(key: int) -> End:
    return End(key, RunStatus.FINISHED, 0)


def taken(backlog: Backlog) -> list[Record]:
    records: list[Record] = []
    while some := backlog.take():
        records += some
    return records


def test_take_gives_what_was_put_whatever_its_kind(tmp_path: Path) -> None:
    records: list[Record] = [
        Open(0, "trial 0", {"a": "b"}, 5),
        Batch(0, points=[Point("loss", float("inf"), 1, 2)], params={"p": "1"}, tags={"t": "u"}),
        Texts(None, {"a/b.txt": "größer\n" * 1000}),
        FileCopy(0, tmp_path / "drawn.png", "pictures/curves.png"),
        ending(0),
    ]
    backlog = Backlog(tmp_path, in_memory=1)
    backlog.put(records)
    assert taken(backlog) == records
    assert not backlog


@pytest.mark.parametrize("seed", range(20))
def test_put_and_take_in_any_turn_keep_the_order(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    backlog, arrived, count = Backlog(tmp_path, in_memory=5), list[Record](), 0
    for _ in range(300):
        if generator.random() < 0.6:
            more = generator.randint(0, 8)
            backlog.put(ending(key) for key in range(count, count + more))
            count += more
        else:
            is_empty = not backlog
            some = backlog.take()
            assert bool(some) is not is_empty
            arrived += some
    assert [record.key for record in arrived + taken(backlog)] == list(range(count))


def test_put_many_holds_few_in_memory_and_leaves_no_file(tmp_path: Path) -> None:
    """Fails where the file is never written."""
    backlog = Backlog(tmp_path / "new", in_memory=10)
    backlog.put(ending(key) for key in range(1000))
    assert len(backlog.take()) == 10
    assert len(backlog.take()) == 10
    assert list((tmp_path / "new").iterdir()) == []


def test_take_of_everything_empties_the_file(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, in_memory=2)
    backlog.put(ending(key) for key in range(100))
    assert backlog._file is not None
    size = os.fstat(backlog._file.fileno()).st_size
    assert size > 0
    assert len(taken(backlog)) == 100
    assert os.fstat(backlog._file.fileno()).st_size == 0


@pytest.mark.parametrize("half", [False, True])
def test_put_on_a_full_disk_keeps_everything_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    """Fails where what the file took is not looked at."""
    write = os.pwrite

    def full(number: int, content: bytes, offset: int) -> int:
        if half:
            return write(number, content[: len(content) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    backlog = Backlog(tmp_path, in_memory=3)
    backlog.put(ending(key) for key in range(10))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        backlog.put(ending(key) for key in range(10, 20))
        first = backlog.take()
        backlog.put(ending(key) for key in range(20, 30))
    backlog.put(ending(key) for key in range(30, 40))
    assert [record.key for record in first + taken(backlog)] == list(range(40))


def test_put_where_no_file_can_be_made_keeps_everything(tmp_path: Path) -> None:
    """Fails where the system's error is let through."""
    (tmp_path / "file").touch()
    backlog = Backlog(tmp_path / "file", in_memory=3)
    backlog.put(ending(key) for key in range(10))
    assert [record.key for record in taken(backlog)] == list(range(10))


def test_close_forgets_everything(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, in_memory=3)
    backlog.put(ending(key) for key in range(10))
    backlog.close()
    assert taken(backlog) == []
