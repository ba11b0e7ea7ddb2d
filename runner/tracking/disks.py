"""Whether a folder is on a disk of this machine."""

from pathlib import Path

import psutil

# File systems that one machine alone writes to. Of what is not known it is not assumed.
LOCAL = frozenset(
    {
        *("apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "hfs", "jfs", "ntfs"),
        *("ntfs3", "overlay", "ramfs", "reiserfs", "tmpfs", "ufs", "xfs", "zfs"),
    }
)


def is_on_local_disk(folder: Path) -> bool:
    """Whether a folder is known to be on a disk of this machine, not on a network's.

    Args:
        folder: Must exist.
    """
    resolved = folder.resolve()
    mounts = {
        Path(partition.mountpoint): partition.fstype.lower()
        for partition in psutil.disk_partitions(all=True)
    }
    for place in (resolved, *resolved.parents):
        if place in mounts:
            return mounts[place] in LOCAL
    return False
