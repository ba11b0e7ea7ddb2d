"""Prepared sets of examples on disk: made by one process at a time, mapped under a lock.

Layout:
    cache/.prepared.lock            held for moments: beginning a set, making room for it
    cache/<kind>/.tmp-<name>        a set that is being made, locked by the process that makes it
    cache/<kind>/<name>             a finished one, locked (shared) by everybody who has it mapped

The kernel drops locks with their processes. So what is locked is in use, and what is unfinished
and not locked was left by a process that was killed.
"""

import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from runner.data.budget import Allowance, make_prepared_room
from runner.data.cache import UNFINISHED, mark_used
from runner.data.disk import (
    POLL_S,
    DiskRefused,
    disk_errors,
    does_lock,
    lock_file,
    locked,
    write_all,
)
from runner.experiment import sync
from runner.heartbeat import pulse

T = TypeVar("T")

_LOCK = ".prepared.lock"
# A process that was suspended keeps its lock; nothing is expected of one that has not written for
# so long.
PATIENCE_S = 120.0


class SetWriter:
    """A set that is being made, written from its beginning to its end."""

    def __init__(self, number: int, reserve: Callable[[int], None]) -> None:
        """Take over a file.

        Args:
            number: Its descriptor; its size is what is reserved for it.
            reserve: Makes sure of room for so many bytes more, and the file so much larger.
        """
        self._number, self._reserve = number, reserve
        self._end = 0

    def write(self, content: bytes) -> None:
        """Add to the end.

        Raises:
            NoRoom: If it becomes larger than was expected, and there is no more room.
            DiskRefused: If the disk is full, for example.
        """
        with disk_errors():
            reserved = os.fstat(self._number).st_size
            missing = self._end + len(content) - reserved
            if missing > 0:
                # In few steps, for each looks at all that is there.
                self._reserve(max(missing, reserved // 8))
            write_all(self._number, np.frombuffer(content, np.uint8), offset=self._end)
        self._end += len(content)
        pulse.beat()

    def seal(self) -> None:
        """Cut the file to its size, and make it survive a power cut.

        It has its size before it has its content: without a sync, one that is not whole might
        look as if it were.
        """
        with disk_errors():
            os.ftruncate(self._number, self._end)
            os.fsync(self._number)


@dataclass(frozen=True)
class PreparedSets:
    """The prepared sets of a cache.

    Attributes:
        cache: The folder of caches.
        allowance: What all of them may take.
    """

    cache: Path
    allowance: Allowance

    def get(
        self,
        path: Path,
        *,
        parse: Callable[[np.ndarray], T | None],
        write: Callable[[SetWriter], None],
        needed_bytes: Callable[[], int],
    ) -> T:
        """A set; made if it is not there, or waited for while another process makes it.

        The file stays where it is as long as its bytes, or a view of them, are in use.

        Args:
            path: Its place, in the folder of a kind.
            parse: From its bytes, mapped read-only, uint8 [B]; None if they are no such set.
            write: Gives the writer all bytes of it.
            needed_bytes: Gives what it is expected to take; asked if it is not there.
        Raises:
            NoRoom: If that does not fit beside what is in use.
            DiskRefused: If the disk is read-only or full, for example.
            Exception: What `write` raises. Nothing of the set is left then.
        Side effects: Removes the sets least recently used where the allowance is exceeded.
        """
        while True:
            found = self._found(path, parse)
            if found is None:
                with self._begun(path, needed_bytes()) as number:
                    if number is None:
                        continue
                    # It may have been finished between the look and the lock.
                    found = self._found(path, parse)
                    if found is None:
                        found = self._made(number, path, parse, write)
            self._tidy()
            return found

    def _found(self, path: Path, parse: Callable[[np.ndarray], T | None]) -> T | None:
        number = _opened(path)
        if number is None:
            return None
        try:
            found = _parsed(number, parse)
        finally:
            os.close(number)
        if found is not None:
            mark_used(path)
        return found

    @contextmanager
    def _begun(self, path: Path, needed_bytes: int) -> Iterator[int | None]:
        """The file to make a set in, locked and large enough; None once another has made it."""
        working = _working(path)
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.cache / _LOCK, _always), disk_errors():
            number, is_mine = os.open(working, os.O_RDWR | os.O_CREAT, 0o666), False
            try:
                # What was opened may have been finished, and renamed, before it was locked.
                is_mine = does_lock(number) and _is_at(working, number)
                if is_mine:
                    os.ftruncate(number, 0)
                    self._enlarge(number, needed_bytes)
            except BaseException:
                if is_mine:
                    working.unlink(missing_ok=True)
                os.close(number)
                raise
        try:
            if not is_mine:
                _wait_for(number, working)
            yield number if is_mine else None
        finally:
            # Before it is unlocked: nobody else can have begun.
            if is_mine and _is_at(working, number):
                with suppress(OSError):
                    working.unlink()
            os.close(number)

    def _made(
        self,
        number: int,
        path: Path,
        parse: Callable[[np.ndarray], T | None],
        write: Callable[[SetWriter], None],
    ) -> T:
        writer = SetWriter(number, partial(self._reserve, number))
        write(writer)
        writer.seal()
        with disk_errors():
            _working(path).replace(path)
            sync(path.parent)
            # From the lock of its only maker to that of one of its users.
            fcntl.flock(number, fcntl.LOCK_SH)
        made = _parsed(number, parse)
        if made is None:
            raise DiskRefused(f"{path} cannot be read back")
        return made

    def _reserve(self, number: int, more_bytes: int) -> None:
        with locked(self.cache / _LOCK, _always):
            self._enlarge(number, more_bytes)

    def _enlarge(self, number: int, more_bytes: int) -> None:
        """Make room and take it: what others count is the size of a file."""
        make_prepared_room(self.cache, new_bytes=more_bytes, allowance=self.allowance)
        os.ftruncate(number, os.fstat(number).st_size + more_bytes)

    def _tidy(self) -> None:
        """Leave no more than the allowance; not worth waiting for, nor an error."""
        with suppress(OSError), lock_file(self.cache / _LOCK) as file:
            if does_lock(file):
                make_prepared_room(self.cache, new_bytes=0, allowance=self.allowance)


def _working(path: Path) -> Path:
    return path.with_name(UNFINISHED + path.name)


def _opened(path: Path) -> int | None:
    """A finished file with a shared lock, to be closed by the caller; None if there is none."""
    while True:
        try:
            number = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        # A disk without locks can still be read from. Who locks it alone does so for a moment.
        with suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_SH)
        if _is_at(path, number):
            return number
        os.close(number)


def _parsed(number: int, parse: Callable[[np.ndarray], T | None]) -> T | None:
    """What is in a file, mapped; the map keeps the file open, and with it the lock."""
    try:
        content = mmap.mmap(number, 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # ValueError: an empty file
        return None
    return parse(np.frombuffer(content, np.uint8))


def _wait_for(number: int, working: Path) -> None:
    """Wait until whoever makes a set has made it, or is dead.

    Raises:
        DiskRefused: If it does not get on with it.
    """
    with disk_errors():
        while not does_lock(number, is_shared=True):
            if time.time() - os.fstat(number).st_mtime > PATIENCE_S:
                raise DiskRefused(f"whoever makes {working} has not written for {PATIENCE_S:g} s")
            pulse.beat()
            time.sleep(POLL_S)


def _is_at(path: Path, number: int) -> bool:
    """Whether an open file is what the path names."""
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except OSError:
        return False


def _always() -> None:
    """Nobody loses interest."""
