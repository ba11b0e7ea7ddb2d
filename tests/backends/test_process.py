"""A worker's process that does not end, or has ended already."""

import os
import subprocess
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest

from runner.backends.process import WorkerProcess, dismiss
from runner.errors import SearchStopped
from runner.trial import Lease


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    """One whose process sleeps."""
    ours, theirs = Pipe()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process, theirs:
        log = Path("worker-3.log")
        yield WorkerProcess(Lease(slot=3), process, ours, log, log)
        ours.close()
        process.kill()


@pytest.mark.timeout(30)
def test_worker_that_a_kill_does_not_end_stops_the_search(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel waits for a device; here nobody kills. Fails where its end is waited for."""
    monkeypatch.setattr("runner.backends.process.DEATH_S", 0.2)
    monkeypatch.setattr("runner.backends.process.EXIT_S", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", lambda *_: None)
        patch.setattr(worker.process, "kill", lambda: None)
        with pytest.raises(SearchStopped) as caught:
            worker.how_it_died()
        dismiss([worker])
    assert str(caught.value) == (
        f"the worker of slot 3 (process {worker.process.pid}) was killed and has not ended within "
        "0.2 s: the kernel waits for a device or a disk that does not answer (see `dmesg`). Its "
        "log is worker-3.log"
    )


def test_group_of_a_worker_is_ended_once(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id may be another's later. Fails without the mark of it."""
    ended: list[int] = []
    killpg = os.killpg
    monkeypatch.setattr(os, "killpg", lambda *args: ended.append(args[0]) or killpg(*args))
    worker.kill()
    assert worker.how_it_died().startswith("the worker of slot 3 died with signal SIGKILL")
    dismiss([worker])
    assert ended == [worker.process.pid]
