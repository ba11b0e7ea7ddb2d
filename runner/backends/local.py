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
from runner.backends.worker import Setup, log_of
from runner.errors import RunnerError, SearchStopped
from runner.trial import Attempt, Decision, Ending, Facts, Job, Lease, Objective, Outcome

logger = logging.getLogger(__name__)

# How often the driver looks for cancellations and free slots when no worker speaks.
TICK_S = 0.2
# A worker told to leave gets this long to save its checkpoint before it is killed.
GRACE_S = 30.0
# A worker that has closed its socket gets this long to end.
EXIT_S = 5.0
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
    log: Path
    running: set[Attempt] = field(default_factory=set)
    is_idle: bool = False
    told: dict[Attempt, Decision] = field(default_factory=dict)
    kill_at: dict[Attempt, float] = field(default_factory=dict)
    is_killed: bool = False
    deaths: int = 0
    heard_s: float = 0.0

    def has_hung(self, grace_s: float) -> bool:
        """Whether a trial that was told to leave does not, and killing it costs no other.

        While others of its job are heard of, it is given more time: it may be trained after them.
        """
        now_s = time.monotonic()
        if all(now_s <= at for at in self.kill_at.values()):
            return False
        return self.running <= self.told.keys() or now_s > self.heard_s + grace_s


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
        _send(worker, ("inspect", None))
        try:
            _, _, answer = worker.connection.recv()
        except (EOFError, OSError) as error:
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
        log = self._log_of(lease)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", _WORKER, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C reaches the driver alone, which tells the workers what to do.
                start_new_session=True,
            )
        theirs.close()
        worker = _Worker(lease, process, ours, log, deaths=deaths)
        _send(worker, Setup(self._objective, lease, str(log)))
        return worker

    def _log_of(self, lease: Lease) -> Path:
        return self._logs / f"worker-{lease.slot}.log"

    def _await_ready(self, worker: _Worker) -> None:
        if worker.is_idle:
            return
        try:
            worker.connection.recv()
        except (EOFError, OSError) as error:
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
                worker.log = log_of(job)
                worker.is_idle = False
                worker.heard_s = time.monotonic()
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
                    worker.kill_at.setdefault(key, time.monotonic() + self._grace_s)
            if worker.has_hung(self._grace_s):
                logger.warning("the worker of slot %d does not leave: killed", worker.lease.slot)
                _kill(worker)
                worker.is_killed = True
                worker.kill_at.clear()

    def _listen(self, feed: Feed) -> None:
        ready = wait([worker.connection for worker in self._workers], timeout=TICK_S)
        for worker in list(self._workers):
            if worker.connection in ready:
                try:
                    message = worker.connection.recv()
                    worker.heard_s = time.monotonic()
                except (EOFError, OSError):
                    self._replace(worker, feed)
                else:
                    self._heed(worker, message, feed)
            elif worker.process.poll() is not None and not worker.connection.poll():
                # Something it has forked holds its end of the socket open.
                self._replace(worker, feed)

    def _heed(self, worker: _Worker, message: tuple[str, Any, Any], feed: Feed) -> None:
        kind, key, content = message
        if kind == "report":
            is_running = key in worker.running
            decision = feed.report(key, content) if is_running else Decision.STOP
            _send(worker, ("answer", key, decision))
        elif kind == "end" and key in worker.running:
            worker.running.discard(key)
            worker.kill_at.pop(key, None)
            worker.deaths = 0
            feed.end(key, content)
        elif kind in ("idle", "ready"):
            worker.is_idle = True
            worker.log = self._log_of(worker.lease)
            worker.told.clear()

    def _replace(self, worker: _Worker, feed: Feed) -> None:
        """A worker died: its trials are lost, and a new worker takes its lease."""
        reason = self._died(worker)
        deaths = worker.deaths + (not worker.is_killed)
        worker.connection.close()
        for key in sorted(worker.running):
            told = worker.told.get(key)
            outcome = Outcome.LOST if told is None else told.outcome
            feed.end(key, Ending(outcome, reason=reason))
        if deaths >= MAX_DEATHS_IN_A_ROW:
            raise SearchStopped(f"{reason}; {deaths} times in a row, so the search stops")
        self._workers[self._workers.index(worker)] = self._start(worker.lease, deaths)

    def _died(self, worker: _Worker) -> str:
        try:
            code = worker.process.wait(timeout=EXIT_S)
        except subprocess.TimeoutExpired:
            code = _kill(worker)
        who = f"the worker of slot {worker.lease.slot}"
        if worker.is_killed:
            how = f"did not leave within {self._grace_s:g} s of being told to, and was killed"
        elif code == -signal.SIGKILL:
            how = "died with signal SIGKILL (often the kernel's, out of memory)"
        elif code < 0:
            how = f"died with signal {signal.Signals(-code).name}"
        else:
            how = f"died with exit code {code}"
        return f"{who} {how}; its log is {worker.log}"


def _send(worker: _Worker, message: object) -> None:
    try:
        worker.connection.send(message)
    except OSError:
        # It has died; listening to it finds that out and says so.
        logger.debug("the worker of slot %d does not hear", worker.lease.slot)


def _kill(worker: _Worker) -> int:
    worker.process.kill()
    return worker.process.wait()
