"""The size budget of the store: what goes when something new needs room."""

import time
from pathlib import Path

from runner.data import (
    ABANDONED_S,
    UNFINISHED,
    CacheEntry,
    NoRoom,
    cache_entries,
    does_lock,
    fit,
    lock_file,
    remove_entry,
    unfinished_entries,
)
from runner.reuse.boot import boot_name, machine_name
from runner.reuse.errors import TooLarge

# In a folder of unfinished sets: locked, shared, by everybody who works on them.
MEMBERS = "members"
LOCK_SUFFIX = ".lock"


def working_folder(store: Path, digest: str) -> Path:
    """Where sets are made: another place after another start of the machine."""
    return store / f"{UNFINISHED}{boot_name()}-{digest}"


def make_room(store: Path, *, new_bytes: int, limit_bytes: int) -> None:
    """Remove the least recently used until `new_bytes` more fit; call it under the store's lock.

    What is being made is never removed. What is open elsewhere may be: its map stays valid.

    Args:
        store: The folder of features.
        new_bytes: What is to be made; 0 only brings the store back to its limit.
        limit_bytes: For everything in the folder.
    Raises:
        TooLarge: If what others are making now leaves too little.
        OSError: If the folder cannot be read.
    """
    busy_bytes, idle = 0, cache_entries(store.parent, kind=store.name)
    for entry in unfinished_entries(store.parent, kind=store.name):
        if _is_worthless(entry):
            remove_entry(entry)
        elif _is_busy(entry):
            busy_bytes += entry.bytes
        else:
            idle.append(entry)
    try:
        fit(idle, _does_remove, room_bytes=limit_bytes - busy_bytes, new_bytes=new_bytes)
    except NoRoom as error:
        raise TooLarge(error.needed_bytes, error.limit_bytes) from None


def _does_remove(entry: CacheEntry) -> bool:
    remove_entry(entry)
    return True


def _is_worthless(entry: CacheEntry) -> bool:
    """Whether nobody is working in an unfinished folder, nor could go on with what is in it."""
    if _is_of(entry, boot_name()):
        return not _has_members(entry) and not any(map(_is_set, entry.path.glob("*")))
    if _is_of(entry, machine_name()):
        return True  # of an earlier start, and perhaps not all of it reached the disk
    return time.time() - entry.last_used > ABANDONED_S


def _is_busy(entry: CacheEntry) -> bool:
    """Whether somebody may be working in an unfinished folder: here, or on another machine."""
    return not _is_of(entry, boot_name()) or _has_members(entry)


def _has_members(entry: CacheEntry) -> bool:
    members = entry.path / MEMBERS
    if not members.exists():
        return False
    with lock_file(members) as file:
        return not does_lock(file)


def _is_set(path: Path) -> bool:
    return path.name != MEMBERS and path.suffix != LOCK_SUFFIX


def _is_of(entry: CacheEntry, name: str) -> bool:
    return entry.path.name.startswith(f"{UNFINISHED}{name}-")
