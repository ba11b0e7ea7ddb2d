"""A worker process as its driver sees it: started, spoken to, ended."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from runner.backends.given import Given
from runner.backends.life import Silence
from runner.backends.worker import Setup
from runner.errors import SearchStopped
from runner.experiment import writing
from runner.processes import signal_name
from runner.trial import Lease, Objective

logger = logging.getLogger(__name__)

# A worker that has closed its socket gets this long to end.
EXIT_S = 5.0
# One that was killed is gone within this time, unless the kernel cannot end it: it waits for a
# device, or a disk, that does not answer.
DEATH_S = 30.0
# glibc gives large blocks back to the kernel at once and gets them, zeroed, again for the next
# layer. Keeping them saves a fifth to a third of the processor time of training on a CPU
# (EfficientNet-Lite0, 160 px: 9.3 and 11.1 s become 7.4 s, docs/benchmarks.md); peak memory is
# the same. Other C libraries ignore the variables.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
}
# Not `python -m`: that would load the module a second time, under the name __main__.
_WORKER = "from runner.backends.worker import main; main()"


def spinning() -> dict[str, str]:
    """How long waiting threads of GNU's OpenMP turn idly, unless the user has said so.

    On cores that others use too they take the time of those that they wait for: with the library's
    300,000 turns small models were up to 17 times slower. On quiet cores few turns cost a small
    model up to two fifths, a large one nothing (benchmarks/spinning.py, docs/benchmarks.md).
    """
    return {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "5000")}


@dataclass
class WorkerProcess:
    """A worker process.

    Attributes:
        lease: What it holds.
        process: Its process.
        connection: The driver's end of its socket.
        own_log: Takes what it prints outside of trials.
        log: Takes what it prints now.
        given: The job that it has.
        is_idle: Whether it waits for a job.
        deaths: How many workers of its lease died in a row before it.
    """

    lease: Lease
    process: subprocess.Popen[bytes]
    connection: Connection
    own_log: Path
    log: Path
    given: Given = field(default_factory=Given)
    is_idle: bool = False
    deaths: int = 0
    _is_group_ended: bool = field(default=False, init=False)

    @classmethod
    def start(
        cls,
        objective: Objective,
        lease: Lease,
        *,
        logs: Path,
        silence: Silence | None = None,
        deaths: int = 0,
    ) -> Self:
        """Start a fresh interpreter that works for an objective on a lease.

        Args:
            objective: Pickled to it.
            lease: What it holds.
            logs: Folder for what it prints outside of trials.
            silence: How long it may show no sign of life; None: for ever.
            deaths: How many workers of the lease died in a row before it.
        """
        ours, theirs = Pipe(duplex=True)
        threads = str(lease.threads)
        environment = {
            **os.environ,
            **spinning(),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "PYTHONUNBUFFERED": "1",
            **KEEP_MEMORY,
            **lease.environment,
        }
        log = logs / f"worker-{lease.slot}.log"
        with writing(log):
            output = log.open("ab")
        with output:
            process = subprocess.Popen(
                [sys.executable, "-c", _WORKER, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C reaches the driver alone, which tells the workers what to do. And what it
                # starts ends with it: see `end_group`.
                start_new_session=True,
            )
        theirs.close()
        starting = Given(silence_s=None if silence is None else silence.of_a_start_s)
        worker = cls(lease, process, ours, log, log, given=starting, deaths=deaths)
        worker.send(Setup(objective, lease, str(log), silence))
        return worker

    def send(self, message: object) -> None:
        """Send a message, unless it has died: listening to it finds that out and says so."""
        try:
            self.connection.send(message)
        except OSError:
            logger.debug("the worker of slot %d does not hear", self.lease.slot)

    def kill(self) -> int:
        """End it, and what it has started, at once; gives its exit code.

        Raises:
            SearchStopped: If it does not end.
        """
        self.end_group()
        self.process.kill()
        try:
            return self.process.wait(timeout=DEATH_S)
        except subprocess.TimeoutExpired as error:
            raise SearchStopped(
                f"the worker of slot {self.lease.slot} (process {self.process.pid}) was killed "
                f"and has not ended within {DEATH_S:g} s: the kernel waits for a device or a disk "
                f"that does not answer (see `dmesg`). Its log is {self.log}"
            ) from error

    def end_group(self) -> None:
        """End what it has started and not ended, also after its own death; once.

        Its id stays taken as long as there is anything in its process group, and may be another's
        later; what has left the group is not reached.
        """
        if self._is_group_ended:
            return
        self._is_group_ended = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def has_hung(self) -> bool:
        """Whether it has something to do and shows no sign of life, nor has one on its way."""
        is_silent = not self.is_idle and self.given.is_silent
        return is_silent and not self.connection.poll()

    def how_it_died(self) -> str:
        """Why it no longer speaks, for people; waits for its end.

        Raises:
            SearchStopped: If it does not come.
        """
        try:
            code = self.process.wait(timeout=EXIT_S)
        except subprocess.TimeoutExpired:
            code = self.kill()
        self.end_group()
        who = f"the worker of slot {self.lease.slot}"
        if self.given.is_killed or self.given.was_silent:
            how = self.given.why_killed
        elif code == -signal.SIGKILL:
            how = "died with signal SIGKILL (often the kernel's, out of memory)"
        elif code < 0:
            how = f"died with signal {signal_name(code)}"
        else:
            how = f"died with exit code {code}"
        return f"{who} {how}; its log is {self.log}"


def dismiss(workers: Collection[WorkerProcess]) -> None:
    """End workers, and wait for it, but not for ever; what one was running is lost."""
    for worker in workers:
        worker.send(("quit", None))
        worker.connection.close()
    for worker in workers:
        try:
            worker.process.wait(timeout=0 if worker.given.open else EXIT_S)
            worker.end_group()
        except subprocess.TimeoutExpired:
            _kill_or_leave(worker)


def _kill_or_leave(worker: WorkerProcess) -> None:
    try:
        worker.kill()
    except SearchStopped as error:
        logger.error("%s", error)
