"""Runs jobs in persistent worker processes of this machine, one a lease."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from runner.backends.contract import Feed, NoJob
from runner.backends.worker import Setup
from runner.errors import RunnerError, SearchStopped
from runner.trial import Attempt, Decision, Ending, Facts, Job, Lease, Objective, Outcome

logger = logging.getLogger(__name__)

# How often the driver looks for cancellations and free slots when no worker speaks.
TICK_S = 0.2
# A worker told to leave gets this long to save its checkpoint before it is killed.
GRACE_S = 30.0
# A worker that dies this often in a row without ending a trial will not do better.
MAX_DEATHS_IN_A_ROW = 3
# glibc gives large blocks back to the kernel at once and gets them, zeroed, again for the next
# layer. Keeping them saves a fifth to a third of the processor time of training on a CPU
# (EfficientNet-Lite0, 160 px: 9.3 and 11.1 s become 7.4 s, docs/benchmarks.md); peak memory is
# the same. Other C libraries ignore the variables.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
}
# Not `python -m`: that would load the module a second time, under the name __main__.
_WORKER = "from runner.backends.worker import main; main()"


@dataclass
class _Worker:
    lease: Lease
    process: subprocess.Popen[bytes]
    connection: Connection
    running: set[Attempt] = field(default_factory=set)
    is_idle: bool = False
    told: dict[Attempt, Decision] = field(default_factory=dict)
    kill_at: float | None = None
    deaths: int = 0


class LocalBackend:
    """Persistent workers: libraries, data and weights are loaded once in each.

    Args:
        objective: What the workers run; pickled to them.
        leases: One worker is started for each.
        logs: Folder for what workers print outside of trials.
        grace_s: Seconds a cancelled trial gets to leave by itself.
    """

    def __init__(
        self,
        objective: Objective,
        leases: Sequence[Lease],
        *,
        logs: Path,
        grace_s: float = GRACE_S,
    ) -> None:
        self._objective = objective
        self._logs = logs
        self._grace_s = grace_s
        logs.mkdir(parents=True, exist_ok=True)
        self._workers = [self._start(lease) for lease in leases]

    def inspect(self) -> Facts:
        """See `Backend.inspect`; the first worker does it and keeps what it loads.

        Raises:
            RunnerError: If the second pass itself fails.
        """
        worker = self._workers[0]
        self._await_ready(worker)
        worker.connection.send(("inspect", None))
        try:
            _, _, answer = worker.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise SearchStopped(self._died(worker)) from error
        if isinstance(answer, RunnerError):
            raise answer
        facts: Facts = answer
        return facts

    def run(self, feed: Feed) -> None:
        """See `Backend.run`."""
        while True:
            waiting = self._hand_out(feed)
            if not waiting and not any(worker.running for worker in self._workers):
                return
            self._cancel(feed)
            self._listen(feed)

    def close(self) -> None:
        """End every worker; what a worker was running is lost."""
        for worker in self._workers:
            _send(worker, ("quit", None))
            worker.connection.close()
        for worker in self._workers:
            try:
                worker.process.wait(timeout=0 if worker.running else 5)
            except subprocess.TimeoutExpired:
                _kill(worker)
        self._workers = []

    def _start(self, lease: Lease, deaths: int = 0) -> _Worker:
        ours, theirs = Pipe(duplex=True)
        threads = str(lease.threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "PYTHONUNBUFFERED": "1",
            **_KEEP_MEMORY,
            **lease.environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches the driver alone, which tells the workers what to do.
            start_new_session=True,
        )
        theirs.close()
        ours.send(Setup(self._objective, lease, str(self._log_of(lease))))
        return _Worker(lease, process, ours, deaths=deaths)

    def _log_of(self, lease: Lease) -> Path:
        return self._logs / f"worker-{lease.slot}.log"

    def _await_ready(self, worker: _Worker) -> None:
        if worker.is_idle:
            return
        try:
            worker.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise SearchStopped(self._died(worker)) from error
        worker.is_idle = True

    def _hand_out(self, feed: Feed) -> bool:
        """Give idle workers jobs; whether the feed may have more later."""
        is_waiting = False
        for worker in self._workers:
            if not worker.is_idle:
                is_waiting = True
                continue
            job = feed.next(worker.lease)
            if isinstance(job, Job):
                worker.running = {spec.key for spec in job.trials}
                worker.is_idle = False
                is_waiting = True
                _send(worker, ("job", job))
            else:
                is_waiting = is_waiting or job is NoJob.WAIT
        return is_waiting

    def _cancel(self, feed: Feed) -> None:
        wanted = feed.cancellations()
        for worker in self._workers:
            for key in worker.running & wanted.keys():
                if worker.told.get(key) is not wanted[key]:
                    worker.told[key] = wanted[key]
                    _send(worker, ("cancel", key, wanted[key]))
                    worker.kill_at = worker.kill_at or time.monotonic() + self._grace_s
            if worker.kill_at is not None and time.monotonic() > worker.kill_at:
                logger.warning("the worker of slot %d does not leave: killed", worker.lease.slot)
                _kill(worker)
                worker.kill_at = None

    def _listen(self, feed: Feed) -> None:
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), timeout=TICK_S):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, ConnectionError):
                self._replace(worker, feed)
            else:
                self._heed(worker, message, feed)

    def _heed(self, worker: _Worker, message: tuple[str, Any, Any], feed: Feed) -> None:
        kind, key, content = message
        if kind == "report" and key in worker.running:
            _send(worker, ("answer", key, feed.report(key, content)))
        elif kind == "end" and key in worker.running:
            worker.running.discard(key)
            worker.deaths = 0
            feed.end(key, content)
        elif kind in ("idle", "ready"):
            worker.is_idle = True
            worker.kill_at = None
            worker.told.clear()

    def _replace(self, worker: _Worker, feed: Feed) -> None:
        """A worker died: its trials are lost, and a new worker takes its lease."""
        reason = self._died(worker)
        deaths = worker.deaths + 1
        worker.connection.close()
        _kill(worker)
        for key in sorted(worker.running):
            told = worker.told.get(key)
            outcome = Outcome.LOST if told is None else told.outcome
            feed.end(key, Ending(outcome, reason=reason))
        if deaths >= MAX_DEATHS_IN_A_ROW:
            raise SearchStopped(f"{reason}; {deaths} times in a row, so the search stops")
        self._workers[self._workers.index(worker)] = self._start(worker.lease, deaths)

    def _died(self, worker: _Worker) -> str:
        code = worker.process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        hint = " (SIGKILL is often the kernel's, out of memory)" if code == -signal.SIGKILL else ""
        log = self._log_of(worker.lease)
        return f"the worker of slot {worker.lease.slot} died with {how}{hint}; its log is {log}"


def _send(worker: _Worker, message: tuple[Any, ...]) -> None:
    try:
        worker.connection.send(message)
    except OSError:
        # It has died; listening to it finds that out and says so.
        logger.debug("the worker of slot %d does not hear", worker.lease.slot)


def _kill(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.wait()
