"""A command ends with the process that started it, and what it has started with it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runner.trial.custom.process import Command

SLEEPERS = "sleep 600 & echo $! $$; sleep 600"


def start(*words: str) -> Command:
    return Command(words, working=Path.cwd(), environment=os.environ)


def end(command: Command) -> None:
    command.close()
    command.stdout.close()
    command.stderr.close()


def wait_until(is_so: Callable[[], bool], within_s: float = 10.0) -> bool:
    until = time.monotonic() + within_s
    while not is_so() and time.monotonic() < until:
        time.sleep(0.02)
    return is_so()


def are_gone(ids: list[int]) -> bool:
    """Whether no such process runs; one that nobody has waited for yet does not run."""
    return not any(
        psutil.pid_exists(id) and psutil.Process(id).status() != psutil.STATUS_ZOMBIE for id in ids
    )


def test_command_that_ends_has_its_code_and_output() -> None:
    command = start("sh", "-c", "echo out; echo err >&2; exit 3")
    assert command.stdout.read() == b"out\n"
    assert command.stderr.read() == b"err\n"
    assert wait_until(lambda: command.code == 3)
    command.close()
    end(command)


def test_close_ends_what_the_command_has_started() -> None:
    command = start("sh", "-c", SLEEPERS)
    ids = [int(word) for word in command.stdout.readline().split()]
    assert len(ids) == 2
    end(command)
    assert wait_until(lambda: are_gone(ids))


def test_terminate_reaches_everything_that_the_command_has_started() -> None:
    command = start("sh", "-c", SLEEPERS)
    ids = [int(word) for word in command.stdout.readline().split()]
    command.terminate()
    assert wait_until(lambda: are_gone(ids))
    assert command.code == -signal.SIGTERM
    end(command)


def test_command_that_cannot_start_leaves_nothing() -> None:
    children = psutil.Process().children()
    with pytest.raises(FileNotFoundError):
        start("/no/such/program")
    assert psutil.Process().children() == children


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_command_does_not_outlive_the_process_that_started_it(number: signal.Signals) -> None:
    code = textwrap.dedent(
        f"""
        import os, time
        from pathlib import Path
        from runner.trial.custom.process import Command
        command = Command(["sh", "-c", {SLEEPERS!r}], working=Path("/"), environment=os.environ)
        print(command.stdout.readline().decode(), end="", flush=True)
        time.sleep(600)
        """
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    ids = [int(word) for word in worker.stdout.readline().split()]
    watchers = psutil.Process(worker.pid).children()
    assert not are_gone(ids)
    worker.send_signal(number)
    worker.wait()
    worker.stdout.close()
    assert wait_until(lambda: are_gone([*ids, *(each.pid for each in watchers)]))
