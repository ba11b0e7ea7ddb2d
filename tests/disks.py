"""Real disks that are full or read-only, and a user who may not: for tests on Linux, as root."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

NOBODY = 65534
_BALLAST = "ballast"


@dataclass(frozen=True)
class Disk:
    """A small file system of its own.

    Attributes:
        path: Where it is mounted.
    """

    path: Path

    def fill(self, *, leave: int = 0) -> None:
        """Use it up, but for so many bytes; with none left not even an empty page fits."""
        surplus = shutil.disk_usage(self.path).free - leave
        with (self.path / _BALLAST).open("ab") as ballast:
            if surplus > 0:
                os.posix_fallocate(ballast.fileno(), ballast.tell(), surplus)

    def make_room(self) -> None:
        """Take back what `fill` used up."""
        (self.path / _BALLAST).unlink(missing_ok=True)

    def remount(self, mode: str) -> None:
        """Make it read-only ("ro") or writable ("rw"); nobody may have a file open for writing."""
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.path)], check=True)


@contextlib.contextmanager
def small_disk(path: Path, *, mib: int = 8) -> Iterator[Disk]:
    """A file system in memory, mounted in the block; skips where mounting is refused."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"needs to mount a file system of its own: {why.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Let this process be a user who may write almost nowhere; skips for whoever is not root."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root, to become another user")
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
