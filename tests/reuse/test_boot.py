"""The name of this start of this machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from runner.reuse import boot


def test_boot_has_one_name_in_all_processes():
    program = "import runpy, sys; print(runpy.run_path(sys.argv[1])['boot_name']())"
    command = [sys.executable, "-c", program, boot.__file__]
    told = subprocess.run(command, capture_output=True, text=True, check=True)

    assert told.stdout.strip() == boot.boot_name()
    assert boot.boot_name().startswith(f"{boot.machine_name()}-")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS is asked otherwise")
def test_boot_that_the_kernel_does_not_name_is_nobody_elses(monkeypatch):
    monkeypatch.setattr(boot, "_BOOT_ID", Path("/nowhere"))

    names = {boot.boot_name.__wrapped__() for _ in range(2)}

    assert len(names) == 2
    assert not any(name.startswith(boot.machine_name()) for name in names)
