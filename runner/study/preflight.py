"""Before a search begins: whether what it writes to can be written, and how much room there is."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.errors import DiskRefused
from runner.experiment import Store, free_bytes, require_writable

# Below this a search of small models may still do; whoever begins it should know.
LITTLE_BYTES = 2**30


def preflight(store: Store, folder: Path) -> list[str]:
    """See that a search can write where it will; gives a line for each disk with little room.

    Args:
        store: The folder of local results.
        folder: The study's.
    Raises:
        DiskRefused: If a folder cannot be written; names it, and the reason.
    """
    places = (store.root, folder, store.cache, _temporary_folder())
    said: dict[int, str] = {}
    for place in places:
        require_writable(place)
        free = free_bytes(place)
        if free < LITTLE_BYTES:
            line = f"only {free / 2**30:.2f} GiB are free on the disk of {place}"
            said.setdefault(place.stat().st_dev, line)
    return list(said.values())


def room_for_weights(folder: Path, details: Mapping[str, Any], *, count: int) -> list[str]:
    """A line, if the weights of the best trials may not fit on the disk of the study's folder.

    Args:
        folder: The study's.
        details: What the second pass found out (`Facts.details`).
        count: Of how many trials they are kept.
    """
    needed, free = count * int(details.get("weights_bytes", 0)), free_bytes(folder)
    if needed <= free:
        return []
    return [
        f"the weights of the best {count} trials (tracking.keep_weights) may take up to "
        f"{needed / 2**30:.2f} GiB, and {free / 2**30:.2f} GiB are free on the disk of {folder}"
    ]


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
