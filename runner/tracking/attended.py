"""Runs a command that ends with whoever started it, also where that one is killed.

MLflow's server is a command that starts another one; the signal that Linux can send at a parent's
death would reach the first alone. So a process between the two watches, and ends the whole group.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

WATCH_PARENT_EVERY_S = 0.2
# For a server to close its database, before it is killed.
GRACE_S = 5.0


def attended(command: Sequence[str]) -> list[str]:
    """The command that runs a command until this process ends; it leads a group of its own.

    Its exit status is the command's (128 and the signal's number where a signal ended that); it is
    to be started with `start_new_session`.
    """
    # As a file, and isolated: nothing of the package is imported for it.
    return [sys.executable, "-I", str(Path(__file__).resolve()), str(os.getpid()), *command]


def main() -> None:
    """Run the command of the command line; before it stands the process id to watch."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    # The whole group is told to end: the command does, and then this process.
    signal.signal(signal.SIGTERM, _go_on)
    process = subprocess.Popen(command)
    watcher = threading.Thread(target=_end_with_parent, args=(parent,), daemon=True)
    watcher.start()
    status = process.wait()
    if os.getppid() != parent:
        # What the command has started may still be there.
        watcher.join()
    sys.exit(status if status >= 0 else 128 - status)


def _go_on(number: int, frame: FrameType | None) -> None:
    """A handler, where to ignore the signal would be inherited by the command."""


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_PARENT_EVERY_S)
    group = os.getpgid(0)
    if group == os.getpid():
        os.killpg(group, signal.SIGTERM)
        time.sleep(GRACE_S)
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
