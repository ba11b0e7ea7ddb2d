"""What this process may use of its machine: a container's or a job's limits count."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """CPU cores this process may compute on: of its affinity and its container's quota the least.

    A quota of one core and a half is two. `LOKY_MAX_CPU_COUNT` lowers the figure (joblib's own
    variable, for limits that a process cannot see).
    """
    # Takes a sixth of a second, and most commands never ask.
    import joblib

    return int(joblib.cpu_count())


def free_memory() -> int:
    """Bytes of memory that can be taken without swapping, nor going over a limit.

    The limits are those of the control groups this process is in, as containers, SLURM and
    systemd set them; what the kernel caches of files is not counted, since it gives that back.
    """
    try:
        membership = Path("/proc/self/cgroup").read_text()
    except OSError:
        membership = ""
    return min([psutil.virtual_memory().available, *left_by_limits(membership, _GROUPS)])


def left_by_limits(membership: str, mounted: Path) -> Iterator[int]:
    """What each limit on memory leaves, bytes.

    Args:
        membership: The text of /proc/self/cgroup.
        mounted: Where the control groups are, of the first version or the second.
    """
    for line in membership.splitlines():
        _, kinds, name = line.split(":", 2)
        if not kinds:
            base, files = mounted, ("memory.max", "memory.current", "")
        elif "memory" in kinds.split(","):
            base = mounted / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        group = base / name.lstrip("/")
        # In a container the name may be the host's, of which only the top is seen there.
        for folder in (group, *group.parents):
            if (left := _left(folder, *files)) is not None:
                yield left
            if folder == base:
                break


def _left(folder: Path, limit: str, usage: str, prefix: str) -> int | None:
    """What the limit of one group leaves; None where it has none."""
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        held = {name: int(count) for name, count in rows}
    except (OSError, ValueError):
        # The top has no such files, and "max" is no number.
        return None
    cached = sum(held.get(f"{prefix}{each}", 0) for each in ("active_file", "inactive_file"))
    return max(0, most - used + cached)
