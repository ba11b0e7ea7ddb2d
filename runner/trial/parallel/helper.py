"""A helper: a process that trains its share of every batch of a trial, led by the worker.

Started by the leader as a fresh interpreter, as workers are by their driver. It imports and loads
once and stays for the trials that follow. One that cannot go on says why and ends: what it shares
with the others is broken then, and all helpers are started anew.
"""

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path

from runner.heartbeat import pulse
from runner.processes import end_with_parent
from runner.trial.job import Attempt, Decision, Ending, Report
from runner.trial.parallel.messages import Failure, Order, Said, Setup, Task

# How often a helper that gets on says so: the leader passes it on.
ALIVE_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class _Line:
    """The line to the leader; that this process lives says a thread beside the one that trains."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = threading.Lock()
        self._is_up = False

    def say(self, message: Said | Failure) -> None:
        with self._lock:
            self.connection.send(message)
        self._is_up = self._is_up or message is Said.UP

    def say_alive(self) -> None:
        """As long as this process starts, and whenever its trial has got on."""
        before = pulse.beats
        with contextlib.suppress(OSError):
            while True:
                time.sleep(ALIVE_EVERY_S)
                if not self._is_up or pulse.beats != before:
                    before = pulse.beats
                    self.say(Said.ALIVE)


class _Led:
    """A helper's line to the study ends at the leader, which says before each step to go on."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def decision(self, key: Attempt) -> Decision:
        is_wanted = self._line.connection.recv() is Order.STEP
        return Decision.CONTINUE if is_wanted else Decision.STOP

    def report(self, key: Attempt, report: Report) -> Decision:
        raise AssertionError("only the leader reports")

    def end(self, key: Attempt, ending: Ending) -> None:
        raise AssertionError("only the leader ends trials")


def main() -> None:
    """Help one leader until it closes the socket, or dies.

    Command line: the socket's file descriptor and the leader's process id.
    """
    descriptor, leader = int(sys.argv[1]), int(sys.argv[2])
    end_with_parent(leader)
    connection = Connection(descriptor)
    try:
        setup: Setup = connection.recv()
        logging.basicConfig(
            level=logging.INFO,
            format=f"%(asctime)s rank {setup.rank} %(levelname)s %(name)s: %(message)s",
            force=True,
        )
        logging.captureWarnings(True)
        line = _Line(connection)
        threading.Thread(target=line.say_alive, name="alive", daemon=True).start()
        _help(setup, line)
    except (EOFError, BrokenPipeError):
        logger.info("the leader has gone: leaving")
    # Not by way of libraries that would say goodbye to ranks that are no more.
    sys.stderr.flush()
    os._exit(0)


def _help(setup: Setup, line: _Line) -> None:
    import torch

    from runner.trial.parallel.group import join_group

    device = setup.lease.devices[0]
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))
    line.say(Said.UP)
    join_group(Path(setup.meeting), rank=setup.rank, size=setup.size, device=device)
    while True:
        task: Task = line.connection.recv()
        _print_to(recv_handle(line.connection))
        try:
            _train(setup, task, line)
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            logger.error("the trial failed here", exc_info=True)
            line.say(_failure(error))
            return


def _train(setup: Setup, task: Task, line: _Line) -> None:
    """Train one trial with the others, to its end or until the leader does not go on."""
    from runner.errors import LossNotFinite
    from runner.trial.finetune import goal_of
    from runner.trial.isolation import reset_process
    from runner.trial.parallel.ranks import Ranks
    from runner.trial.standalone import Printed
    from runner.trial.training import Leave, Training

    reset_process(setup.lease)
    bench = setup.objective.bench(setup.lease)
    # The average is evaluated and kept, and that is the leader's.
    recipe = bench.experiment.recipe(dict(task.spec.params)).model_copy(update={"ema": None})
    training = Training(
        bench,
        recipe,
        task.spec,
        setup.lease,
        goal_of(bench.experiment),
        micro_batch=task.micro_batch,
    )
    training.prepare(Printed(logger.info))
    line.say(Said.PREPARED)
    training.join(Ranks(setup.rank, setup.size))
    led = _Led(line)
    try:
        # The leader evaluates the last epoch, or says that the loss is no number, as it is here.
        with contextlib.suppress(LossNotFinite):
            training.follow(led)
        training.require_wanted(led)
    except Leave:
        return


def _failure(error: Exception) -> Failure:
    from runner.errors import TrialOutOfMemory
    from runner.trial.memory import is_out_of_memory

    return Failure(
        isinstance(error, TrialOutOfMemory) or is_out_of_memory(error),
        f"{type(error).__name__}: {error}",
        "".join(traceback.format_exception(error)),
    )


def _print_to(descriptor: int) -> None:
    """Send what this process prints to where the leader's goes now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
