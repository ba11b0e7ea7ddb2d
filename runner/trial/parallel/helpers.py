"""The helpers of this process, as it sees them: started, given trials, watched, ended."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch.distributed as dist

from runner.errors import TrialFailed, TrialLost
from runner.heartbeat import pulse
from runner.processes import signal_name
from runner.trial.job import Lease
from runner.trial.parallel.group import abort_group, join_group, leave_group
from runner.trial.parallel.messages import Failure, Order, Said, Setup, Task

if TYPE_CHECKING:
    from runner.trial.objective import FineTune

logger = logging.getLogger(__name__)

# How often the leader, while it waits for helpers, asks whether its trial is still wanted.
TICK_S = 0.2
# A helper whose death breaks an all-reduce is known to be dead this soon after.
NEWS_S = 10.0
_STANDARD_ERROR = 2
# As for workers: not `python -m`, which would load the module a second time.
_HELPER = "from runner.trial.parallel.helper import main; main()"


@dataclass
class _Helper:
    """A helper's process.

    Attributes:
        device: Where it computes, for people.
        process: Its process.
        connection: The leader's end of its socket.
        said: The last that it said of itself.
    """

    device: str
    process: subprocess.Popen[bytes]
    connection: Connection
    said: Said | None = None


class Helpers:
    """A helper for each device of a lease but the first, and what became of them.

    All end when one cannot go on. Of what they say a thread hears, as this process may be waiting
    for the very helper that has died. A process is in one group at a time: who joins another ends
    the helpers of the one before.

    Args:
        objective: Has the experiment; pickled to them.
        lease: Two devices or more.
    """

    _joined: ClassVar["Helpers | None"] = None

    def __init__(self, objective: "FineTune", lease: Lease) -> None:
        self._size = len(lease.devices)
        self._device = lease.devices[0]
        self._folder = tempfile.TemporaryDirectory(prefix="runner-ranks-")
        self._meeting = Path(self._folder.name) / "meeting"
        self._news = threading.Condition()
        self._failure: Exception | None = None
        self._is_over = False
        self._all = [self._start(objective, lease, rank) for rank in range(1, self._size)]
        self._listener = threading.Thread(target=self._listen, name="helpers", daemon=True)
        self._listener.start()

    @property
    def size(self) -> int:
        """How many ranks there are, this process included."""
        return self._size

    def give(self, task: Task, is_wanted: Callable[[], None]) -> None:
        """Let them prepare a trial; returns before they have.

        Args:
            task: The trial.
            is_wanted: Called while they start; may raise.
        Raises:
            TrialLost: If one dies.
        """
        if Helpers._joined is not self:
            self._await(Said.UP, is_wanted)
            if Helpers._joined is not None:
                Helpers._joined.end()
            join_group(self._meeting, rank=0, size=self._size, device=self._device)
            Helpers._joined = self
        for helper in self._all:
            helper.said = Said.UP
            self._tell(helper, task)
            with contextlib.suppress(OSError):
                send_handle(helper.connection, _STANDARD_ERROR, helper.process.pid)

    def await_prepared(self, is_wanted: Callable[[], None]) -> None:
        """Wait until all are ready for the first step.

        Raises:
            TrialLost, TrialFailed, MemoryError: As the first that cannot go on says.
        """
        self._await(Said.PREPARED, is_wanted)

    def step(self) -> None:
        """Let them take the next step, which this process must take too.

        Raises:
            TrialLost, TrialFailed, MemoryError: As the first that cannot go on says.
        """
        self.require_well()
        for helper in self._all:
            self._tell(helper, Order.STEP)

    def rest(self) -> None:
        """Let them leave the trial; they wait for the next."""
        for helper in self._all:
            self._tell(helper, Order.REST)

    @property
    def are_well(self) -> bool:
        """Whether all are there."""
        return self._failure is None and not self._is_over

    def require_well(self) -> None:
        """Check that all are there.

        Raises:
            TrialLost, TrialFailed, MemoryError: As the first that cannot go on says.
        """
        if self._failure is not None:
            raise self._failure

    def cause_of(self, error: BaseException) -> BaseException:
        """What an exception of this process comes from: what a helper said, or itself."""
        if isinstance(error, TrialLost | dist.DistError):
            with self._news:
                self._news.wait_for(lambda: self._failure is not None, NEWS_S)
        if self._failure is not None:
            return self._failure
        if isinstance(error, dist.DistError):
            return TrialLost(f"the devices of the trial have lost touch ({error})")
        return error

    def end(self) -> None:
        """End them at once; safe to call twice."""
        self._is_over = True
        for helper in self._all:
            helper.process.kill()
        for helper in self._all:
            helper.process.wait()
        if self._listener is not threading.current_thread():
            self._listener.join()
        for helper in self._all:
            helper.connection.close()
        if Helpers._joined is self:
            leave_group()
            Helpers._joined = None
        self._folder.cleanup()

    def _start(self, objective: "FineTune", lease: Lease, rank: int) -> _Helper:
        ours, theirs = Pipe(duplex=True)
        own = lease.of_rank(rank)
        threads = str(own.threads)
        process = subprocess.Popen(
            [sys.executable, "-c", _HELPER, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            stdin=subprocess.DEVNULL,
            stdout=_STANDARD_ERROR,
            # Ctrl-C reaches the driver alone. A worker is in a session of its own already, and its
            # helpers end with its process group, even where they are stopped.
            start_new_session=os.getsid(0) != os.getpid(),
        )
        theirs.close()
        helper = _Helper(f"device {rank + 1} of {self._size}", process, ours)
        self._tell(helper, Setup(objective, own, rank, self._size, str(self._meeting)))
        return helper

    def _tell(self, helper: _Helper, message: object) -> None:
        """Send a message, unless it has died: the listener finds that out and says so."""
        with contextlib.suppress(OSError):
            helper.connection.send(message)

    def _await(self, said: Said, is_wanted: Callable[[], None]) -> None:
        while not all(helper.said is said for helper in self._all):
            self.require_well()
            # No sign of life of those that are waited for: theirs are passed on.
            with pulse.unnoticed():
                is_wanted()
            with self._news:
                self._news.wait(TICK_S)
        self.require_well()

    def _listen(self) -> None:
        by_connection = {helper.connection: helper for helper in self._all}
        while not self._is_over:
            for connection in wait(list(by_connection)):
                assert isinstance(connection, Connection)
                helper = by_connection[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    self._fail(_how_it_died(helper))
                    return
                if isinstance(message, Failure):
                    self._fail(_raised(helper, message))
                    return
                pulse.beat()
                if message is Said.ALIVE:
                    continue
                with self._news:
                    helper.said = message
                    self._news.notify_all()

    def _fail(self, failure: Exception) -> None:
        if self._is_over:
            return
        logger.error("%s", failure)
        with self._news:
            self._failure = failure
            self._news.notify_all()
        # Nothing waits for one that has gone: neither the others nor this process.
        for helper in self._all:
            helper.process.kill()
        abort_group()


def _raised(helper: _Helper, failure: Failure) -> Exception:
    """What a helper raised, as if it had been raised here."""
    text = f"on {helper.device}: {failure.text}"
    raised: Exception = MemoryError(text) if failure.is_out_of_memory else TrialFailed(text)
    raised.add_note(failure.traceback)
    return raised


def _how_it_died(helper: _Helper) -> TrialLost:
    code = helper.process.wait()
    who = f"the process of {helper.device}"
    if code == -signal.SIGKILL:
        return TrialLost(f"{who} died with signal SIGKILL (often the kernel's, out of memory)")
    if code < 0:
        return TrialLost(f"{who} died with signal {signal_name(code)}")
    return TrialLost(f"{who} died with exit code {code}")
