"""Where prepared examples are kept, and why not on disk where they are not."""

import socket
from pathlib import Path

from runner.data.budget import NoRoom
from runner.data.disk import DiskRefused

ON_DISK, IN_MEMORY = "kept on disk", "kept in memory"
# What is kept in the memory of every worker where the disk has no room for it.
SMALL_BYTES = 256 * 2**20


def why_not_kept(error: NoRoom | DiskRefused) -> str:
    """Why something could not be kept on disk, for people."""
    if isinstance(error, DiskRefused):
        return f"the disk refused ({error})"
    needed, limit = size_words(error.needed_bytes), size_words(error.limit_bytes)
    return f"{needed} do not fit into the {limit} that reuse.data_gib leaves"


def why_no_copy(error: NoRoom | DiskRefused, what: str, cache: Path) -> str:
    """Why a copy of something could not be kept in a cache, and what to do, for people."""
    where = f"{cache} on {socket.gethostname()}"
    if isinstance(error, DiskRefused):
        return f"{what} cannot be copied to {where}: the disk refused ({error})"
    needed, room = size_words(error.needed_bytes), size_words(error.limit_bytes)
    return (
        f"{what} takes {needed}, and {where} has room for {room}; set RUNNER_HOME to a folder on "
        "a larger disk"
    )


def size_words(size: float) -> str:
    """A size in the unit people would use: 3.2 GiB, 85 MiB, 12 KiB."""
    for unit, count in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= 0.95 * count:  # 1,000 of the smaller unit would have four digits
            return f"{size / count:.3g} {unit}"
    return f"{size / 2**10:.3g} KiB"
