"""Before a search begins: whether what it writes to can be written, and how much room there is."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runner.errors import DiskRefused
from runner.experiment import Store, free_bytes, require_writable

# Below this a search of small models may still do; whoever begins it should know.
LITTLE_BYTES = 2**30


def preflight(store: Store, folder: Path, *, kept_bytes: int = 0) -> list[str]:
    """See that a search can write where it will; gives what there is to say about room.

    Args:
        store: The folder of local results.
        folder: The study's.
        kept_bytes: What the weights that are kept will take, as far as that is known.
    Raises:
        DiskRefused: If a folder cannot be written; names it, and the reason.
    """
    places = (store.root, folder, store.cache, _temporary_folder())
    for place in places:
        require_writable(place)
    return _warnings(places, kept_bytes=kept_bytes, of_weights=folder)


def _temporary_folder() -> Path:
    """Where temporary files go.

    Raises:
        DiskRefused: If there is no such folder, or the one that is asked for cannot be written.
    """
    asked = os.environ.get("TMPDIR")
    if asked and Path(asked).is_dir():
        # Python would quietly take another one; the libraries would not.
        require_writable(Path(asked))
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise DiskRefused(
            f"there is no folder for temporary files: {error.strerror}. Name one that can be "
            "written with TMPDIR"
        ) from error


def _warnings(places: Sequence[Path], *, kept_bytes: int, of_weights: Path) -> list[str]:
    """One line for each disk with little room."""
    said: dict[int, str] = {}
    for place in places:
        free, disk = free_bytes(place), place.stat().st_dev
        if free < LITTLE_BYTES:
            said.setdefault(disk, f"only {free / 2**30:.2f} GiB are free on the disk of {place}")
    free = free_bytes(of_weights)
    if kept_bytes > free:
        said[of_weights.stat().st_dev] = (
            f"the weights of the best trials (tracking.keep_weights) may take "
            f"{kept_bytes / 2**30:.2f} GiB, and {free / 2**30:.2f} GiB are free on the disk of "
            f"{of_weights}"
        )
    return list(said.values())
