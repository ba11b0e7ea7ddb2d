"""Which start of which machine this is: what was written and not synced belongs to one alone."""

import contextlib
import functools
import hashlib
import platform
import subprocess
import uuid
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SYSCTL_S = 10.0  # the answer takes milliseconds


@functools.cache
def machine_name() -> str:
    """A short name of this machine, the same after its next start."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@functools.cache
def boot_name() -> str:
    """A name of this start of this machine; begins with `machine_name`.

    What a process wrote outlives the process, but unless it was synced not the start. Where the
    kernel does not tell its starts apart, this is a name of this process's own.
    """
    boot = _boot_id()
    return uuid.uuid4().hex if boot is None else f"{machine_name()}-{boot}"


def _boot_id() -> str | None:
    """What the kernel calls this start, if it says."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text().strip()
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "kern.bootsessionuuid"]
            told = subprocess.run(
                command, capture_output=True, text=True, timeout=_SYSCTL_S, check=True
            )
            if told.stdout.strip():
                return told.stdout.strip()
    return None
