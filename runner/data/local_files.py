"""Which files a folder of this machine holds."""

import os
from collections.abc import Iterator
from pathlib import Path


def visible_files(folder: Path) -> Iterator[Path]:
    """The files below a folder, at any depth, in the order of their names folder by folder.

    Hidden files and folders are left out; links are followed, each folder once.

    Raises:
        OSError: If a folder in it cannot be read.
    """
    entered: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(here, name)


def files_below(folder: Path) -> Iterator[str]:
    """Names of `visible_files` relative to the folder, with forward slashes.

    Raises:
        OSError: If a folder in it cannot be read.
    """
    return (path.relative_to(folder).as_posix() for path in visible_files(folder))


def _raise(error: OSError) -> None:
    """`os.walk` passes over folders that it may not read, unless told otherwise."""
    raise error
