"""Room on disk for prepared examples: what they may take, and what goes when more is needed."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.data.cache import PIXELS, TOKENS, CacheEntry, cache_entries, unfinished_entries
from runner.data.disk import does_lock

PREPARED = (PIXELS, TOKENS)
"""What counts together: decoded images and tokens."""

# What `auto` takes at most, and what it leaves free for everybody else. Own choice.
SHARE_OF_DISK = 0.2
_LEFT_FREE_BYTES = 4 * 2**30


class NoRoom(Exception):
    """Something does not fit into the room there is for it; nothing was written.

    Attributes:
        needed_bytes: What it would take.
        limit_bytes: What there is: the limit without what is in use.
    """

    def __init__(self, needed_bytes: int, limit_bytes: int) -> None:
        super().__init__(needed_bytes, limit_bytes)
        self.needed_bytes, self.limit_bytes = needed_bytes, limit_bytes


@dataclass(frozen=True)
class Allowance:
    """What prepared examples may take of the disk that a cache is on.

    Attributes:
        gib: GiB; None: a fifth of the file system, and never its last 4 GiB.
    """

    gib: float | None = None

    def limit_bytes(self, cache: Path) -> int:
        """The limit as the disk is now.

        Raises:
            OSError: If the disk does not tell.
        """
        disk = shutil.disk_usage(next(path for path in (cache, *cache.parents) if path.exists()))
        # Ours can be removed, and what is reserved and not yet written is still free.
        within_reach = _blocks_bytes(cache) + disk.free
        if self.gib is not None:
            return min(int(self.gib * 2**30), within_reach)
        return max(0, min(int(SHARE_OF_DISK * disk.total), within_reach - _LEFT_FREE_BYTES))


AUTO = Allowance()


def make_prepared_room(cache: Path, *, new_bytes: int, allowance: Allowance) -> None:
    """Remove prepared sets, the least recently used first, until `new_bytes` more fit.

    One that a process uses, or is making, is never removed; what a dead process left half made
    goes at once. Call it under the lock of the folder.

    Args:
        cache: The folder of caches.
        new_bytes: What is to be made; 0 only brings the folder back to its limit.
        allowance: The limit.
    Raises:
        NoRoom: If what is in use leaves too little.
        OSError: If the folder cannot be read.
    """
    busy_bytes, idle = 0, []
    for kind in PREPARED:
        for entry in unfinished_entries(cache, kind=kind):
            if not remove_unused(entry):
                busy_bytes += entry.bytes
        for entry in cache_entries(cache, kind=kind):
            if is_used(entry.path):
                busy_bytes += entry.bytes
            else:
                idle.append(entry)
    limit_bytes = allowance.limit_bytes(cache)
    fit(idle, remove_unused, room_bytes=limit_bytes - busy_bytes, new_bytes=new_bytes)


def fit(
    idle: Sequence[CacheEntry],
    remove: Callable[[CacheEntry], bool],
    *,
    room_bytes: int,
    new_bytes: int,
) -> None:
    """Remove entries, the least recently used first, until something new fits beside the rest.

    Args:
        idle: What may go.
        remove: Removes one; False if it turns out that it must stay.
        room_bytes: What `idle` and the new may take together.
        new_bytes: The new; 0 only brings `idle` down to the room.
    Raises:
        NoRoom: If it does not fit, whatever is removed; then nothing was, but for a race.
    """
    if new_bytes > room_bytes and new_bytes > 0:
        raise NoRoom(new_bytes, max(0, room_bytes))
    kept_bytes = sum(entry.bytes for entry in idle)
    for entry in sorted(idle, key=lambda entry: (entry.last_used, entry.path)):
        if kept_bytes + new_bytes <= room_bytes:
            return
        if remove(entry):
            kept_bytes -= entry.bytes
    if new_bytes > 0 and kept_bytes + new_bytes > room_bytes:
        raise NoRoom(new_bytes, max(0, room_bytes - kept_bytes))


def is_used(path: Path) -> bool:
    """Whether some process has a lock on a file, or it cannot be told."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not does_lock(file)
    except OSError:
        return True
    finally:
        os.close(file)


def remove_unused(entry: CacheEntry) -> bool:
    """Remove a file unless some process has a lock on it; whether it has gone.

    It is locked while it goes: who opens it meanwhile finds out that it has gone.
    """
    try:
        file = os.open(entry.path, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not does_lock(file):
            return False
        entry.path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _blocks_bytes(cache: Path) -> int:
    """What the prepared sets take of the disk now."""
    paths = [path for kind in PREPARED for path in cache.glob(f"{kind}/*")]
    return sum(_taken(path) for path in paths)


def _taken(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512  # always of 512 bytes: POSIX, <sys/stat.h>
    except FileNotFoundError:
        return 0
