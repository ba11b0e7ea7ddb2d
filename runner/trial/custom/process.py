"""A command that ends with this process at the latest, and everything it has started with it."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

# Leads the command's process group and waits for its own standard input to close, which the
# kernel does when this process dies, however that happens: then it kills the group.
# Not PR_SET_PDEATHSIG: that reaches the command alone, and not what it has started.
_WATCHER = "trap '' TERM INT HUP; echo; read line; kill -KILL 0"
# A process that was killed is gone within this time, unless the kernel itself hangs.
_DEATH_S = 10.0


class Command:
    """A running command in a process group of its own.

    Attributes:
        stdout: What it prints.
        stderr: What it complains about.
    """

    def __init__(
        self, words: Sequence[str], *, working: Path, environment: Mapping[str, str]
    ) -> None:
        """Start it.

        Raises:
            OSError: If the program cannot be started.
        """
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        try:
            assert self._watcher.stdout is not None
            self._watcher.stdout.readline()
            self._process = subprocess.Popen(
                list(words),
                cwd=working,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=self._watcher.pid,
            )
        except BaseException:
            self._end_watcher()
            raise
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdout: IO[bytes] = self._process.stdout
        self.stderr: IO[bytes] = self._process.stderr

    @property
    def code(self) -> int | None:
        """Exit code; below 0 the signal that ended it; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it, and what it has started, to leave (SIGTERM)."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and what it has started (SIGKILL); what it has written can still be read."""
        self._signal(signal.SIGKILL)
        self._process.wait(timeout=_DEATH_S)

    def close(self) -> None:
        """End what is still there; safe to call twice."""
        self._signal(signal.SIGKILL)
        self._process.wait(timeout=_DEATH_S)
        self._end_watcher()

    def _signal(self, number: signal.Signals) -> None:
        # Until the watcher is waited for, its id cannot become another group's.
        if self._watcher.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._watcher.pid, number)

    def _end_watcher(self) -> None:
        assert self._watcher.stdin is not None
        assert self._watcher.stdout is not None
        self._watcher.stdin.close()
        self._watcher.stdout.close()
        self._watcher.wait(timeout=_DEATH_S)
