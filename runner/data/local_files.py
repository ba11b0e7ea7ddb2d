"""Which files a folder of this machine holds, and what is in one."""

import os
import stat
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


def read_regular_file(path: Path) -> bytes:
    """The whole of a file that somebody else may have named.

    Raises:
        OSError: If it cannot be read, or is none: a pipe would be waited for, and a device may
            never end.
        ValueError: If it has a name that no file can have.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("a folder, pipe or device, not a file")
    return path.read_bytes()


def _raise(error: OSError) -> None:
    """`os.walk` passes over folders that it may not read, unless told otherwise."""
    raise error
