"""Processes that are to end with their parent, and the signals that end others."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from runner.processes import signal_name

PARENT = """
import subprocess, sys, time
with subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True):
    time.sleep(600)
"""
CHILD = """
import os, subprocess, sys, time
from pathlib import Path
from runner import processes

processes.WATCH_PARENT_EVERY_S = {every_s}
{change}
processes.end_with_parent(os.getppid())
started = subprocess.Popen(["sleep", "600"])
Path("ids.tmp").write_text(f"{{os.getpid()}} {{started.pid}}")
Path("ids.tmp").rename("ids")
while {is_computing}:
    pass
time.sleep(600)
"""


def orphans(folder: Path, **how: object) -> list[psutil.Process]:
    """A process and what it has started, whose parent has just been killed."""
    code = textwrap.dedent(CHILD).format(**{"change": "", "is_computing": False, **how})
    command = [sys.executable, "-c", PARENT, code]
    with subprocess.Popen(command, cwd=folder) as parent:
        until = time.monotonic() + 20
        while not (folder / "ids").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        found = [psutil.Process(int(each)) for each in (folder / "ids").read_text().split()]
        parent.send_signal(signal.SIGKILL)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel tells of no death")
@pytest.mark.parametrize("is_computing", [False, True])
def test_death_of_the_parent_is_told_by_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_computing: bool
) -> None:
    """Whatever it does meanwhile; it would itself look in a minute.

    Fails without prctl, and where the group is not killed.
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    left = orphans(tmp_path, every_s=60.0, is_computing=is_computing)
    assert psutil.wait_procs(left, timeout=10)[1] == []


def test_death_of_the_parent_is_seen_where_the_kernel_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where it looks seldom, and where the group is not killed."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    change = "processes._asked_of_the_kernel = lambda: None"
    left = orphans(tmp_path, every_s=0.2, change=change)
    assert psutil.wait_procs(left, timeout=10)[1] == []


@pytest.mark.parametrize(("code", "name"), [(-9, "SIGKILL"), (-40, "40")])
def test_signal_has_its_name_or_its_number(code: int, name: str) -> None:
    """Python has no names for most real-time signals. Fails where it is asked for one."""
    assert signal_name(code) == name
