"""Listens to a running command: its messages are acted on at once, the rest goes to the log."""

import codecs
import io
import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import TrialFailed
from runner.heartbeat import pulse
from runner.trial.custom.folders import TrialFolders, size_text
from runner.trial.custom.history import History
from runner.trial.custom.messages import Message, bad, read_line
from runner.trial.custom.process import Command
from runner.trial.job import Report

# Of what a command complained about last, for the message of its failure.
_TAIL_CHARACTERS = 8000
_CHUNK_BYTES = 65536


@dataclass
class Listening:
    """Two threads that read what a command prints until it closes its output.

    The history belongs to the thread that reads the messages while it runs: a checkpoint is taken
    when its line is read, and not when the study has answered the report before it.

    Attributes:
        command: What is listened to.
        history: Gets the reports.
        folders: Where checkpoints, artifacts and the model are put.
        working: The command's working directory.
        seconds: Gives the time spent on the trial so far.
        heard: Each report; then None, or what went wrong.
    """

    command: Command
    history: History
    folders: TrialFolders
    working: Path
    seconds: Callable[[], float]
    heard: queue.SimpleQueue[Report | Exception | None] = field(default_factory=queue.SimpleQueue)
    _tail: str = ""

    def __post_init__(self) -> None:
        self._threads = [
            threading.Thread(target=read, daemon=True) for read in (self._messages, self._stderr)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def last_lines(self) -> str:
        """The end of what the command complained about."""
        return self._tail.strip()

    def join(self, timeout_s: float) -> bool:
        """Wait for the output to be closed; whether it is."""
        for thread in self._threads:
            thread.join(timeout_s)
        if any(thread.is_alive() for thread in self._threads):
            return False
        self.command.stdout.close()
        self.command.stderr.close()
        return True

    def _messages(self) -> None:
        lines = io.TextIOWrapper(self.command.stdout, encoding="utf-8", errors="replace")
        failure: Exception | None = None
        for line in lines:
            pulse.beat()
            # After a bad message the rest is only drained, so that the command is not held up.
            if failure is None:
                try:
                    self._hear(line)
                except Exception as error:  # noqa: BLE001 - raised again by who follows the command
                    failure = error
                    self.heard.put(failure)
        self.heard.put(None)

    def _hear(self, line: str) -> None:
        message = read_line(line)
        if message is None:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        try:
            self._act(message)
        except TrialFailed as error:
            raise TrialFailed(bad(message.line, str(error))) from error

    def _act(self, message: Message) -> None:
        """A report first, the checkpoint last: it holds all that the line says."""
        if message.step is not None:
            self.heard.put(self.history.add(message.step, message.metrics))
        if message.artifact is not None:
            kept = self.folders.add_artifact(self._found(message.artifact))
            print(f"artifact {kept.name}: {size_text(kept)}", flush=True)
        if message.model is not None:
            kept = self.folders.keep_model(self._found(message.model))
            print(f"model {kept.name}: {size_text(kept)}", flush=True)
        if message.checkpoint is not None:
            name = message.checkpoint if isinstance(message.checkpoint, str) else None
            self.folders.take_announced(name, self.history.to_json(seconds=self.seconds()))

    def _found(self, path: str) -> Path:
        return self.folders.find(path, working=self.working)

    def _stderr(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := os.read(self.command.stderr.fileno(), _CHUNK_BYTES):
            pulse.beat()
            text = decoder.decode(chunk)
            self._tail = (self._tail + text)[-_TAIL_CHARACTERS:]
            sys.stderr.write(text)
            sys.stderr.flush()
