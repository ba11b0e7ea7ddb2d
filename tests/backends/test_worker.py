"""A worker spoken to directly, as its driver does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from runner.backends.worker import Setup
from runner.trial import Attempt, Decision, Job, Lease, Outcome, TrialSpec
from tests.objectives import ROOT, Scripted


@dataclass
class Spoken:
    """A worker process and the driver's end of its socket."""

    process: subprocess.Popen[bytes]
    connection: Connection
    folder: Path

    def start(self, number: int, **params: Any) -> Attempt:
        spec = TrialSpec(Attempt(number, 0), params, 7, str(self.folder / str(number)))
        self.connection.send(("job", Job((spec,))))
        return spec.key

    def hear(self) -> Any:
        assert self.connection.poll(10), "the worker says nothing"
        return self.connection.recv()

    def log(self, number: int) -> str:
        return (self.folder / str(number) / "log.txt").read_text()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Spoken]:
    ours, theirs = Pipe(duplex=True)
    code = "from runner.backends.worker import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(theirs.fileno()), str(os.getpid())],
        pass_fds=[theirs.fileno()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        theirs.close()
        ours.send(Setup(Scripted(), Lease(slot=0), str(tmp_path / "worker.log")))
        spoken = Spoken(process, ours, tmp_path)
        assert spoken.hear()[0] == "ready"
        yield spoken
        ours.close()
        process.wait(timeout=5)


def test_cancellation_that_crosses_a_report_stands(worker: Spoken) -> None:
    key = worker.start(0, epochs=5)
    assert worker.hear()[:2] == ("report", key)
    worker.connection.send(("cancel", key, Decision.PAUSE))
    worker.connection.send(("answer", key, Decision.CONTINUE))
    kind, ended, ending = worker.hear()
    assert (kind, ended, ending.outcome) == ("end", key, Outcome.PAUSED)
    assert worker.hear()[0] == "idle"


def test_cancellation_of_a_trial_that_has_just_ended_does_not_touch_the_next(
    worker: Spoken,
) -> None:
    first = worker.start(0)
    assert worker.hear()[:2] == ("report", first)
    worker.connection.send(("answer", first, Decision.CONTINUE))
    assert worker.hear()[0] == "end"
    worker.connection.send(("cancel", first, Decision.STOP))
    assert worker.hear()[0] == "idle"
    worker.connection.send(("cancel", first, Decision.STOP))
    second = worker.start(1)
    worker.connection.send(("cancel", first, Decision.STOP))
    assert worker.hear()[:2] == ("report", second)
    worker.connection.send(("answer", second, Decision.CONTINUE))
    assert worker.hear()[2].outcome is Outcome.COMPLETE


@pytest.mark.parametrize("is_told", [True, False])
def test_driver_that_leaves_during_a_trial_ends_the_worker_without_a_failed_trial(
    worker: Spoken, is_told: bool
) -> None:
    key = worker.start(0, epochs=5, epoch_s=0.2)
    assert worker.hear()[:2] == ("report", key)
    if is_told:
        worker.connection.send(("quit", None))
    worker.connection.close()
    worker.process.wait(timeout=5)
    assert "Traceback" not in worker.log(0)


def test_worker_told_to_quit_while_idle_ends_well(worker: Spoken) -> None:
    worker.connection.send(("quit", None))
    assert worker.process.wait(timeout=5) == 0
