"""How files that a worker has sent take their places in the folder of their trial.

Each has come whole, beside its place. Of a checkpoint and of what is promoted all files are of one
moment: such a folder is made anew beside the old one, by links, and replaced as on any backend.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.experiment import link_or_copy
from runner.trial import WHOLE_FOLDERS, replace_folder, settle_folder

# No file that an objective of one's own leaves is called so.
PARTIAL = ".runner-partial"


def take_places(folder: Path, moves: Sequence[tuple[Path, Path]], gone: Sequence[Path]) -> None:
    """Let files that have come take their places, and remove what is gone.

    Where a kill cut it off, the same again completes it.

    Args:
        folder: The trial's.
        moves: What has come, and its place.
        gone: Files that are no more.
    """
    for name in WHOLE_FOLDERS:
        settle_folder(folder / name)
    places = [*(place for _, place in moves), *gone]
    whole = [each for each in _whole(folder) if any(each in place.parents for place in places)]
    for each in whole:
        _copy(each, _new(each))
    for partial, place in moves:
        target = _in_new(place, whole)
        # One that is no more had taken its place when a kill cut this off.
        if partial.exists():
            if target == place:
                partial.replace(place)
            else:
                target.unlink(missing_ok=True)
                link_or_copy(partial, target)
    for place in gone:
        _in_new(place, whole).unlink(missing_ok=True)
    # With the old folder goes what had come beside its files.
    for each in whole:
        replace_folder(_new(each), each)


def drop_uncommitted(folder: Path) -> None:
    """Remove what has not taken its place in a trial's folder, also where a kill cut that off."""
    for path in folder.rglob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)
    for each in (folder / name for name in WHOLE_FOLDERS):
        shutil.rmtree(_new(each), ignore_errors=True)
        settle_folder(each)


def _whole(folder: Path) -> Iterator[Path]:
    return (folder / name for name in WHOLE_FOLDERS if (folder / name).is_dir())


def _copy(whole: Path, new: Path) -> None:
    """All but what has not taken its place."""
    shutil.rmtree(new, ignore_errors=True)
    ignore = shutil.ignore_patterns(f"*{PARTIAL}")
    shutil.copytree(whole, new, symlinks=True, ignore=ignore, copy_function=link_or_copy)


def _new(whole: Path) -> Path:
    return whole.with_name(f"{whole.name}.new")


def _in_new(place: Path, whole: Sequence[Path]) -> Path:
    """Where a file goes: into the copy of its folder, if that is replaced as a whole."""
    for each in whole:
        if each in place.parents:
            return _new(each) / place.relative_to(each)
    return place
