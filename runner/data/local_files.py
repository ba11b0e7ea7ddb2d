"""Which files a folder of this machine holds."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[str]:
    """Names of the files below a folder, relative to it, with forward slashes.

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
        for name in files:
            if not name.startswith("."):
                yield (Path(here) / name).relative_to(folder).as_posix()


def _raise(error: OSError) -> None:
    """`os.walk` passes over folders that it may not read, unless told otherwise."""
    raise error
