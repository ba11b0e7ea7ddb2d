"""Folders in which `train` trains: in the store, locked meanwhile, kept if weights are in them."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from runner.experiment import require_writable, writing
from runner.trial import MODEL, WEIGHTS


@contextlib.contextmanager
def folder_in(place: Path, name: str) -> Iterator[Path]:
    """A new folder to train in; it goes with the block, unless weights or a model are in it.

    Args:
        place: Where the experiment's are.
        name: Two hyphens are in it.
    Raises:
        DiskRefused: If it cannot be made or written.
    """
    folder = place / name
    with writing(folder):
        folder.mkdir(parents=True)
        lock = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a disk without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        require_writable(folder)
        yield folder
    finally:
        if not _is_of_use(folder):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear_dead(place: Path) -> None:
    """Remove what trainings that were killed have left there; those that run hold a lock."""
    folders = [path for path in place.glob("*-*-*") if path.is_dir() and not _is_of_use(path)]
    for folder in folders:
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _is_of_use(folder: Path) -> bool:
    return (folder / WEIGHTS).exists() or (folder / MODEL).exists()
