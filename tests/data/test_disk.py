"""Locks and writes."""

import os
import time
from threading import Thread

import numpy as np
import pytest

from runner.data.disk import DiskRefused, disk_errors, does_lock, lock_file, locked, write_all


def test_lock_is_held_by_one_and_free_after_its_block(tmp_path):
    with lock_file(tmp_path / "lock") as first, lock_file(tmp_path / "lock") as second:
        assert does_lock(first)
        assert not does_lock(second)
    with lock_file(tmp_path / "lock") as third:
        assert does_lock(third)


def test_shared_lock_is_held_by_many_and_keeps_out_who_wants_it_alone(tmp_path):
    path = tmp_path / "lock"
    with lock_file(path) as first, lock_file(path) as second, lock_file(path) as alone:
        assert does_lock(first, is_shared=True)
        assert does_lock(second, is_shared=True)
        assert not does_lock(alone)


def test_lock_is_free_after_its_block_although_a_child_still_has_the_file(tmp_path):
    with lock_file(tmp_path / "lock") as file:
        assert does_lock(file)
        kept_open = os.dup(file)  # as a fork would

    with lock_file(tmp_path / "lock") as other:
        assert does_lock(other)
    os.close(kept_open)


def test_waiting_for_a_lock_ends_when_nobody_wants_it_any_more(tmp_path):
    asked = []

    def is_wanted() -> None:
        asked.append(time.monotonic())
        if len(asked) == 3:
            raise KeyboardInterrupt

    with lock_file(tmp_path / "lock") as file:
        does_lock(file)
        with pytest.raises(KeyboardInterrupt), locked(tmp_path / "lock", is_wanted):
            pytest.fail("the lock is held by another")

    assert len(asked) == 3


def test_waiting_for_a_lock_gets_it_when_it_is_free(tmp_path):
    order = []

    def wait() -> None:
        with locked(tmp_path / "lock", lambda: order.append("waits")):
            order.append("has it")

    with lock_file(tmp_path / "lock") as file:
        does_lock(file)
        waiting = Thread(target=wait)
        waiting.start()
        while not order:
            time.sleep(0.001)
        order.append("gives back")
    waiting.join()

    assert [word for word in order if word != "waits"] == ["gives back", "has it"]


def test_lock_where_there_is_no_folder_is_refused(tmp_path):
    with (
        pytest.raises(DiskRefused, match=r"No such file or directory: .*missing/lock"),
        locked(tmp_path / "missing" / "lock", lambda: None),
    ):
        pytest.fail("there is no lock")


def test_error_of_a_computation_is_none_of_the_disk():
    with pytest.raises(KeyError), disk_errors():
        raise KeyError


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_write_all_writes_every_byte_at_its_place(tmp_path, count):
    values = np.arange(count, dtype=np.int64)
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)

    write_all(file, values, offset=16)

    written = os.pread(file, 10_000, 16)
    os.close(file)
    assert written == values.tobytes()
