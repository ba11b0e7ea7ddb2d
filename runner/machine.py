"""What this process may use of its machine: a container's or a job's limits count."""

import math
from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """CPU cores this process may compute on: of its affinity and the quotas on it the least.

    The quotas are those of the control groups this process is in, as containers, SLURM and systemd
    set them; one of one core and a half is two. `LOKY_MAX_CPU_COUNT` lowers the figure (joblib's
    own variable, for limits that a process cannot see).
    """
    # Takes a sixth of a second, and most commands never ask.
    import joblib

    return min([int(joblib.cpu_count()), *cores_by_quotas(_membership(), _GROUPS)])


def free_memory() -> int:
    """Bytes of memory that can be taken without swapping, nor going over a limit.

    The limits are those of the control groups this process is in; what the kernel caches of files
    is not counted, since it gives that back.
    """
    return min([psutil.virtual_memory().available, *left_by_limits(_membership(), _GROUPS)])


def cores_by_quotas(membership: str, mounted: Path) -> Iterator[int]:
    """Cores that each quota on processor time comes to, rounded up.

    Args:
        membership: The text of /proc/self/cgroup.
        mounted: Where the control groups are, of the first version or the second.
    """
    for version, folder in _groups(membership, mounted, "cpu"):
        try:
            if version == 2:
                quota, period = map(int, (folder / "cpu.max").read_text().split())
            else:
                quota = int((folder / "cpu.cfs_quota_us").read_text())
                period = int((folder / "cpu.cfs_period_us").read_text())
        except (OSError, ValueError):
            # The top has no such files, and "max" is no number.
            continue
        if quota > 0 and period > 0:
            yield math.ceil(quota / period)


def left_by_limits(membership: str, mounted: Path) -> Iterator[int]:
    """What each limit on memory leaves, bytes; arguments as `cores_by_quotas`."""
    for version, folder in _groups(membership, mounted, "memory"):
        names = ("memory.max", "memory.current", "")
        if version == 1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        if (left := _left(folder, *names)) is not None:
            yield left


def _membership() -> str:
    try:
        return Path("/proc/self/cgroup").read_text()
    except OSError:
        return ""


def _groups(membership: str, mounted: Path, kind: str) -> Iterator[tuple[int, Path]]:
    """Version and folder of each control group that limits something, from the inmost outwards."""
    for line in membership.splitlines():
        _, kinds, name = line.split(":", 2)
        if not kinds:
            version, base = 2, mounted
        elif kind in kinds.split(","):
            version, base = 1, mounted / kind
        else:
            continue
        group = base / name.lstrip("/")
        # In a container the name may be the host's, of which only the top is seen there.
        for folder in (group, *group.parents):
            yield version, folder
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
