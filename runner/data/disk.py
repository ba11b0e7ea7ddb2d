"""What the disk is asked for: whole writes, locks that die with their process.

Every refusal (full, read-only, no such right) is one exception, so that it is never mixed up with
an error of a computation.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from runner.errors import DiskRefused as DiskRefused
from runner.heartbeat import pulse

POLL_S = 0.02  # a waiting process looks again after this long


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn errors of the operating system into `DiskRefused`, whose message is their reason.

    Who asks for a cache goes on without it; where the disk cannot be done without, see
    `experiment.writing`.
    """
    try:
        yield
    except OSError as err:
        raise DiskRefused(str(err)) from err


def write_all(file: int, values: np.ndarray, *, offset: int) -> None:
    """Write a whole contiguous array at a place in a file; one call may write only a part."""
    rest = values.reshape(-1).view(np.uint8)
    while len(rest) > 0:
        written = os.pwrite(file, rest.data, offset)
        rest, offset = rest[written:], offset + written


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """A file to lock, made if need be; unlocked and closed at the end of the block.

    Unlocked by name: a process forked in between shares the lock, and closing would not do.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # of a disk without locks
            fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


def does_lock(file: int, *, is_shared: bool = False) -> bool:
    """Lock an open file if nobody holds it; the kernel unlocks it when this process dies."""
    mode = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path, is_wanted: Callable[[], None]) -> Iterator[None]:
    """Hold a lock, waiting for it; `is_wanted` is called while waiting and may raise.

    Raises:
        DiskRefused: If there can be no lock.
    """
    with contextlib.ExitStack() as stack:
        with disk_errors():
            file = stack.enter_context(lock_file(path))
            is_held = does_lock(file)
        while not is_held:
            is_wanted()
            pulse.beat()
            time.sleep(POLL_S)
            with disk_errors():
                is_held = does_lock(file)
        yield
