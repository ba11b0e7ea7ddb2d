"""Where a file belongs in a folder, by a name that somebody else chose."""

import os
from pathlib import Path, PurePosixPath

from runner.errors import DataError

# Of one part of a path, on the file systems in use.
_LONGEST_PART_BYTES = 255


def place_inside(folder: Path, name: str) -> Path:
    """The path of a file in a folder, given the name that a store or another machine has for it.

    Args:
        folder: Need not exist. A link in it counts as what it leads to.
        name: Parts separated by `/`. A backslash or a colon is a character like any other.
    Raises:
        DataError: If the name leads out of the folder, or is none that a file can have.
    """
    shown = name if len(name) <= 60 else f"{name[:57]}..."
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise DataError(f"{shown!r} leads out of its folder")
    if not parts or not all(_is_possible(part) for part in parts):
        raise DataError(f"{shown!r} is no name that a file can have")
    target = folder / name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{shown!r} leads out of its folder, by a link")
    return target


class Fence:
    """Folders in which files must lie, wherever links lead; the folders may be links."""

    def __init__(self, *folders: Path) -> None:
        self._roots = tuple(os.path.realpath(folder) for folder in folders)
        self._known: dict[str, str] = {}  # where folders really are: most files share a few

    def holds(self, path: Path) -> bool:
        """Whether a file, which need not be there, lies in one of the folders."""
        real = self._real(path)
        return any(os.path.commonpath([root, real]) == root for root in self._roots)

    def _real(self, path: Path) -> str:
        if path.name in ("", ".."):
            return os.path.realpath(path)
        folder = str(path.parent)
        if folder not in self._known:
            self._known[folder] = os.path.realpath(folder)
        real = os.path.join(self._known[folder], path.name)  # noqa: PTH118 - a million of them
        return os.path.realpath(real) if os.path.islink(real) else real  # noqa: PTH114


def _is_possible(part: str) -> bool:
    try:
        return "\0" not in part and len(os.fsencode(part)) <= _LONGEST_PART_BYTES
    except UnicodeEncodeError:
        return False
