"""A worker: a long-lived process that holds a lease and runs job after job.

Started as a fresh interpreter, not as a fork or a spawned copy, so that it imports nothing of the
script or notebook that searches. It speaks over one inherited socket with pickled messages;
both ends are this package, started by the same user.
"""

import contextlib
import logging
import os
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runner.backends.life import Heart, Silence
from runner.backends.logs import print_to, print_to_log
from runner.errors import DiskRefused, RunnerError
from runner.heartbeat import pulse
from runner.processes import end_with_parent
from runner.trial import (
    Attempt,
    Decision,
    Ending,
    Job,
    Lease,
    Objective,
    Report,
    fail_job,
    run_job,
)


@dataclass(frozen=True)
class Setup:
    """First message to a worker: what it works for.

    Attributes:
        log: File that takes what is printed outside of any trial.
        silence: How long the worker may show no sign of life; None: for ever.
    """

    objective: Objective
    lease: Lease
    log: str
    silence: Silence | None = None


class _Speaker:
    """What this end of the socket says; the thread of the heart speaks beside the job's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def say(self, kind: str, about: object = None, content: object = None) -> None:
        with self._lock:
            self._connection.send((kind, about, content))


class _SocketChannel:
    """A worker's channel over its socket: a report waits for its decision."""

    def __init__(self, connection: Connection, speaker: _Speaker) -> None:
        self._connection = connection
        self._speaker = speaker
        self._decisions: dict[Attempt, Decision] = {}

    def report(self, key: Attempt, report: Report) -> Decision:
        pulse.beat()
        self._speaker.say("report", key, report)
        while True:
            kind, answered, decision = self._receive()
            if kind == "answer" and answered == key:
                # A cancellation that crossed the report stands.
                return self._decisions.get(key, decision)
            self._decisions[answered] = decision

    def decision(self, key: Attempt) -> Decision:
        pulse.beat()
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
        pulse.beat()
        self._speaker.say("end", key, ending)


def main() -> None:
    """Serve one driver until it says quit, closes the socket, or dies.

    Command line: the socket's file descriptor and the driver's process id.
    """
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    end_with_parent(parent)
    connection = Connection(descriptor)
    setup: Setup = connection.recv()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    worker = _Worker(setup, connection)
    try:
        worker.serve()
    except EOFError:
        logging.getLogger(__name__).info("the driver has gone: leaving")


class _Worker:
    """Does what its driver says."""

    def __init__(self, setup: Setup, connection: Connection) -> None:
        self._setup = setup
        self._connection = connection
        self._speaker = _Speaker(connection)
        self._heart: Heart | None = None
        if setup.silence is not None:
            self._heart = Heart(lambda: self._speaker.say("alive"), setup.silence)
            self._heart.start()

    def serve(self) -> None:
        """Until the driver says quit.

        Raises:
            EOFError: If it has closed the socket.
        """
        self._speaker.say("ready", os.getpid())
        while (message := self._connection.recv())[0] != "quit":
            self._do(message)

    def _do(self, message: tuple[str, Any]) -> None:
        kind, content = message[0], message[1]
        if kind == "inspect":
            with self._at_work(is_trial=False):
                facts = second_pass(self._setup)
            self._speaker.say("facts", None, facts)
        elif kind == "job":
            with self._at_work(is_trial=True):
                self._run(content)
            self._speaker.say("idle")
        # Anything else is a cancellation for a trial that has just ended.

    def _run(self, job: Job) -> None:
        channel = _SocketChannel(self._connection, self._speaker)
        try:
            print_to_log(job)
        except DiskRefused as refusal:
            # It is nothing that another worker could mend.
            fail_job(job, refusal, channel)
            return
        try:
            is_fit = run_job(self._setup.objective, job, self._setup.lease, channel)
        finally:
            print_to(Path(self._setup.log))
        if not is_fit:
            # Its trials have been ended; the driver starts another. Not by way of libraries that
            # would tidy up a GPU that does not answer.
            sys.stderr.flush()
            os._exit(1)

    def _at_work(self, *, is_trial: bool) -> AbstractContextManager[None]:
        if self._heart is None:
            return contextlib.nullcontext()
        return self._heart.at_work(is_trial=is_trial)


def second_pass(setup: Setup) -> Any:
    """Facts about the experiment, or the error that the second pass ended with."""
    try:
        return setup.objective.inspect(setup.lease)
    except RunnerError as error:
        return error
    except Exception as error:
        logging.getLogger(__name__).exception("the second pass failed")
        return RunnerError(f"{type(error).__name__}: {error} (the traceback is in {setup.log})")
