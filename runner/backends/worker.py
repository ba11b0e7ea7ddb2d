"""A worker: a long-lived process that holds a lease and runs job after job.

Started as a fresh interpreter, not as a fork or a spawned copy, so that it imports nothing of the
script or notebook that searches. It speaks over one inherited socket with pickled messages;
both ends are this package, started by the same user.
"""

import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runner.backends.logs import open_log, print_to
from runner.errors import RunnerError
from runner.trial import Attempt, Decision, Ending, Job, Lease, Objective, Report, run_job

WATCH_PARENT_EVERY_S = 1.0


@dataclass(frozen=True)
class Setup:
    """First message to a worker: what it works for.

    Attributes:
        log: File that takes what is printed outside of any trial.
    """

    objective: Objective
    lease: Lease
    log: str


class _SocketChannel:
    """A worker's channel over its socket: a report waits for its decision."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._decisions: dict[Attempt, Decision] = {}

    def report(self, key: Attempt, report: Report) -> Decision:
        self._connection.send(("report", key, report))
        while True:
            kind, answered, decision = self._receive()
            if kind == "answer" and answered == key:
                # A cancellation that crossed the report stands.
                return self._decisions.get(key, decision)
            self._decisions[answered] = decision

    def decision(self, key: Attempt) -> Decision:
        while self._connection.poll():
            _, answered, decision = self._receive()
            self._decisions[answered] = decision
        return self._decisions.get(key, Decision.CONTINUE)

    def _receive(self) -> tuple[str, Attempt, Decision]:
        try:
            message = self._connection.recv()
        except EOFError:
            message = ("quit", None)
        if message[0] == "quit":
            # Not an Exception: the trial has not failed, its driver has left it.
            raise SystemExit(f"the driver has gone: process {os.getpid()} leaves")
        answer: tuple[str, Attempt, Decision] = message
        return answer

    def end(self, key: Attempt, ending: Ending) -> None:
        self._connection.send(("end", key, ending))


def main() -> None:
    """Serve one driver until it says quit, closes the socket, or dies.

    Command line: the socket's file descriptor and the driver's process id.
    """
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    connection = Connection(descriptor)
    setup: Setup = connection.recv()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    connection.send(("ready", os.getpid(), None))
    try:
        while (message := connection.recv())[0] != "quit":
            _serve(message, setup, connection)
    except EOFError:
        logging.getLogger(__name__).info("the driver has gone: leaving")


def _serve(message: tuple[str, Any], setup: Setup, connection: Connection) -> None:
    kind, content = message[0], message[1]
    if kind == "inspect":
        connection.send(("facts", None, second_pass(setup)))
    elif kind == "job":
        job: Job = content
        print_to(open_log(job))
        try:
            run_job(setup.objective, job, setup.lease, _SocketChannel(connection))
        finally:
            print_to(Path(setup.log))
        connection.send(("idle", None, None))
    # Anything else is a cancellation for a trial that has just ended.


def second_pass(setup: Setup) -> Any:
    """Facts about the experiment, or the error that the second pass ended with."""
    try:
        return setup.objective.inspect(setup.lease)
    except RunnerError as error:
        return error
    except Exception as error:
        logging.getLogger(__name__).exception("the second pass failed")
        return RunnerError(f"{type(error).__name__}: {error} (the traceback is in {setup.log})")


def _exit_with_parent(parent: int) -> None:
    """End this process within seconds of its driver's death, whatever it is computing."""
    while os.getppid() == parent:
        time.sleep(WATCH_PARENT_EVERY_S)
    os._exit(1)
