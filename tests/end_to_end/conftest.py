"""A tiny experiment on bundled data, and the command line as a user runs it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

EXPERIMENT = """
name: tiny
data: {source: bundled, name: digits, size: 30, image_size: 32}
model: {name: resnet10t, weights: none, arguments: {channels: [8, 8, 16, 16]}}
train: {epochs: 3, batch_size: 32}
search:
  trials: 4
  devices: [cpu]
  pruner: none
  first:
    - {learning_rate: 2.0e-2, freeze_depth: 0}
    - {learning_rate: 1.0e-3, freeze_depth: max}
  space:
    learning_rate: {float: [1e-3, 1e-1], log: true}
    freeze_depth: {int: [0, max]}
"""


@dataclass(frozen=True)
class Terminal:
    """A working directory in which commands are typed.

    Attributes:
        folder: The directory.
        program: What Python is told to run.
    """

    folder: Path
    program: tuple[str, ...] = ("-m", "runner")

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin a command."""
        return subprocess.Popen(
            [sys.executable, *self.program, *arguments],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "RUNNER_HOME": str(self.folder / "store")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a command."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output


@pytest.fixture(autouse=True)
def _nothing_goes_on(tmp_path: Path) -> Iterator[None]:
    """A command of a test that ran out of time does not go on, which would slow the next.

    Servers that later tests use may have been started from here, too.
    """
    yield
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            is_command = process.cmdline()[1:3] == ["-m", "runner"]
            if is_command and Path(process.cwd()).is_relative_to(tmp_path):
                process.kill()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    return Terminal(tmp_path)


def read_until(process: "subprocess.Popen[str]", is_enough: Callable[[str], bool]) -> list[str]:
    """Lines of a running command up to the first that is enough."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if is_enough(line):
            return lines
    raise AssertionError("".join(lines))


def workers_of(folder: Path) -> list[int]:
    """Process ids of workers whose log lies under a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            output = (entry / "fd" / "1").resolve()
        except OSError:
            continue
        if b"runner.backends.worker" in command and folder in output.parents:
            found.append(int(entry.name))
    return found


def wait_until(is_so: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
