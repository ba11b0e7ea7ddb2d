"""Copies of data from elsewhere, kept in the cache: whole or not at all, made by one process.

Layout:
    cache/copies/<key>/            what was copied
    cache/copies/.tmp-<key>/       a copy that is being made
    cache/copies/.lock-<key>       locked by who makes it, and (shared) by everybody who uses it

The kernel drops locks with their processes, so what is locked is in use, and what is unfinished
and not locked was left by a process that was killed.
"""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from runner.data.budget import SHARE_OF_DISK, fit
from runner.data.cache import (
    UNFINISHED,
    cache_entries,
    is_entry_used,
    mark_used,
    remove_entry,
    unfinished_entries,
    use_lock,
)
from runner.data.disk import POLL_S, disk_errors, does_lock, lock_file, locked
from runner.experiment import sync
from runner.heartbeat import pulse

COPIES = "copies"

# Locks on the copies that this process uses, until it ends.
_used: dict[Path, ExitStack] = {}


def kept_copy(cache: Path, key: str, *, nbytes: int, fill: Callable[[Path], None]) -> Path:
    """A copy's folder; made if it is not there, or waited for while another process makes it.

    It stays as long as this process lives, whatever else needs room.

    Args:
        cache: The folder of caches.
        key: What the copy is filed under; tells one content from every other.
        nbytes: What it takes.
        fill: Writes it into a folder that is there and empty.
    Raises:
        NoRoom: If the disk has no room for it.
        DiskRefused: If the disk is read-only, or has no locks, for example.
        Exception: What `fill` raises. Nothing of the copy is left then.
    Side effects: Removes copies that nobody uses, the least recently used first, where all
        together take more than a fifth of the disk, or this one needs their room.
    """
    folder = cache / COPIES / key
    with disk_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
    while not _is_kept(folder):
        with locked(use_lock(folder), _always):
            if not folder.exists():
                _make(cache, folder, nbytes, fill)
    mark_used(folder)
    return folder


def _is_kept(folder: Path) -> bool:
    """Whether a copy is there; if so, it is locked until this process ends."""
    if folder in _used and folder.exists():
        return True
    with ExitStack() as stack, disk_errors():
        file = stack.enter_context(lock_file(use_lock(folder)))
        while not does_lock(file, is_shared=True):
            pulse.beat()
            time.sleep(POLL_S)
        if not folder.exists():
            return False
        _used[folder] = stack.pop_all()
    return True


def _make(cache: Path, folder: Path, nbytes: int, fill: Callable[[Path], None]) -> None:
    working = folder.with_name(UNFINISHED + folder.name)
    with disk_errors():
        shutil.rmtree(working, ignore_errors=True)
        with locked(folder.parent / ".lock", _always):
            _make_room(cache, nbytes)
        working.mkdir()
    try:
        fill(working)
        with disk_errors():
            # One sync for any number of files: a power cut leaves no copy that only looks whole.
            os.sync()
            working.replace(folder)
            sync(folder.parent)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise


def _make_room(cache: Path, nbytes: int) -> None:
    """Remove copies that nobody uses until another one fits.

    Raises:
        NoRoom: If it does not.
    """
    for entry in unfinished_entries(cache, kind=COPIES):
        remove_entry(entry)
    entries = cache_entries(cache, kind=COPIES)
    idle = [entry for entry in entries if not is_entry_used(entry)]
    idle_bytes = sum(entry.bytes for entry in idle)
    busy_bytes = sum(entry.bytes for entry in entries) - idle_bytes
    disk = shutil.disk_usage(cache)
    within_reach = disk.free + idle_bytes
    # What is needed is kept if the disk can take it; what is not needed has its share.
    share = max(int(SHARE_OF_DISK * disk.total) - busy_bytes, nbytes)
    fit(idle, remove_entry, room_bytes=min(share, within_reach), new_bytes=nbytes)


def _always() -> None:
    """Nobody loses interest."""
