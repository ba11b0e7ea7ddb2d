"""The folder of caches: keyed by content, always rebuildable, safe to delete.

Layout:
    cache/<kind>/<key>.<suffix>     one entry; written as .tmp-* beside it, then renamed
    cache/<kind>/<key>/             one entry too, with all that is in the folder
    cache/<kind>/.tmp-*             a file, or a folder, that somebody is still writing
    cache/<kind>/.lock-<key>        if there, locked by everybody who uses, or writes, that entry
"""

import contextlib
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runner.data.disk import does_lock, lock_file

PIXELS = "pixels"
TOKENS = "tokens"
SCANS = "scans"
FEATURES = "features"  # written by the room `reuse`
UNFINISHED = ".tmp-"
ABANDONED_S = (
    3600.0  # what is unfinished and was not written to for so long has no writer any more
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the cache.

    Attributes:
        key: What it is filed under, unique within its kind.
        kind: The sub-folder it is in, for example `pixels`.
        bytes: Size on disk.
        last_used: Seconds since the epoch.
        path: Where it is.
    """

    key: str
    kind: str
    bytes: int
    last_used: float
    path: Path


def entry_path(cache: Path, kind: str, key: str, suffix: str) -> Path:
    """Where an entry lies."""
    return cache / kind / f"{key}{suffix}"


def mark_used(path: Path) -> None:
    """Note that an entry was used now, so pruning takes it last."""
    with contextlib.suppress(OSError):
        os.utime(path)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears under `path` only when the block ends without an error.

    Side effects: makes the folder; two writers of one path are both fine, the last one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> bool:
    """Write a cache entry; False, with a logged warning, where the disk refuses it."""
    try:
        with whole_file(path) as file:
            file.write(content)
    except OSError as err:
        log.warning("the cache entry %s cannot be written (%s); going on without", path, err)
        return False
    return True


def cache_entries(cache: Path, *, kind: str = "*") -> list[CacheEntry]:
    """Every finished entry of the cache, or of one kind; the least recently used first."""
    entries = []
    for path in cache.glob(f"{kind}/*"):
        if not path.name.startswith("."):
            with contextlib.suppress(FileNotFoundError):
                entries.append(_entry(path))
    return _oldest_first(entries)


def unfinished_entries(cache: Path, *, kind: str = "*") -> list[CacheEntry]:
    """What is being written, or was left half written; the longest untouched first."""
    entries = []
    for path in cache.glob(f"{kind}/{UNFINISHED}*"):
        with contextlib.suppress(FileNotFoundError):
            entries.append(_entry(path))
    return _oldest_first(entries)


def _oldest_first(entries: list[CacheEntry]) -> list[CacheEntry]:
    return sorted(entries, key=lambda entry: (entry.last_used, entry.path))


def _entry(path: Path) -> CacheEntry:
    """One file, or one folder with everything in it."""
    inside = [path, *path.rglob("*")] if path.is_dir() else [path]
    stats = [found.lstat() for found in inside]
    size = sum(found.st_size for found in stats if not stat.S_ISDIR(found.st_mode))
    last_used = max(found.st_mtime for found in stats)
    key = path.name if path.is_dir() else path.stem
    return CacheEntry(key, path.parent.name, size, last_used, path)


def prune_cache(cache: Path, *, keep_bytes: int) -> list[CacheEntry]:
    """Remove the least recently used entries until at most `keep_bytes` are left.

    Returns:
        The entries removed. What is unfinished and untouched for an hour goes too, uncounted;
        what a process has locked stays.
    """
    for unfinished in unfinished_entries(cache):
        if time.time() - unfinished.last_used > ABANDONED_S:
            remove_entry(unfinished)
    # What was downloaded, or put there by hand, cannot be made again without a network.
    entries = [entry for entry in cache_entries(cache) if entry.kind != "torchvision"]
    removed = []
    total = sum(entry.bytes for entry in entries)
    for entry in entries:
        if total <= keep_bytes:
            break
        if remove_entry(entry):
            total -= entry.bytes
            removed.append(entry)
    return removed


def remove_entry(entry: CacheEntry) -> bool:
    """Delete an entry; no error if it has gone already, False if a process has it locked."""
    with _alone(entry) as is_alone:
        if not is_alone:
            return False
        if entry.path.is_dir() and not entry.path.is_symlink():
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            entry.path.unlink(missing_ok=True)
    return True


def use_lock(path: Path) -> Path:
    """The file that is locked by who uses an entry; not every kind has one."""
    return path.with_name(f".lock-{path.name.removeprefix(UNFINISHED)}")


def is_entry_used(entry: CacheEntry) -> bool:
    """Whether a process has an entry locked."""
    with _alone(entry) as is_alone:
        return not is_alone


@contextlib.contextmanager
def _alone(entry: CacheEntry) -> Iterator[bool]:
    """Keep others from an entry that has a lock; whether nobody else uses it."""
    lock = use_lock(entry.path)
    if not lock.exists():
        yield True
        return
    with lock_file(lock) as file:
        yield does_lock(file)
