"""Optuna's journal of a study, written by the one driver that owns it.

Optuna's own file back end writes and syncs each operation by itself and opens the file again to
read it back: a trial is ten operations, and a sync costs milliseconds. Here what belongs together
is one write, and syncing is a step of its own. What has been written survives the death of the
process; what has been synced survives that of the machine.

Its lines are kept in a file (`JournalFile`) or in a table (`postgres.JournalTable`).
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from optuna.storages.journal import BaseJournalBackend

from runner.errors import StudyError
from runner.experiment import writing
from runner.study.storage import is_record

# What stands for the writer in every line; Optuna would write a long random name.
WRITER = "driver"


class Lines(Protocol):
    """Where the lines of a journal are kept; nobody else writes them meanwhile."""

    def read(self) -> Iterable[bytes]:
        """Every line, with or without its newline."""
        ...

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines as one write.

        Raises:
            DiskRefused: If the disk does not take them.
            SearchStopped: If the database does not.
        """
        ...

    def sync(self) -> None:
        """Have everything written so far survive the machine's death.

        Raises:
            DiskRefused: If that cannot be had of the disk.
            SearchStopped: If it cannot be had of the database.
        """
        ...


class StudyJournal(BaseJournalBackend):
    """A journal that nobody else writes while this object lives.

    Args:
        lines: Where it is kept.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._unread: list[tuple[bytes, str | None]] | None = None
        self._batch: list[bytes] | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """What was appended since the last call; the whole journal at the first.

        Raises:
            StudyError: If a line is damaged that is not the last.
        """
        if self._unread is None:
            self._unread = []
            for number, line in enumerate(self._lines.read(), 1):
                yield _parsed(line, number)
            return
        unread, self._unread = self._unread, []
        for line, worker in unread:
            # As a reader of the lines would have it: no tuples, text keys.
            yield {**json.loads(line), "worker_id": worker}

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, or keep them for the end of the batch.

        Raises:
            DiskRefused, SearchStopped: See `Lines.write`.
        """
        lines = [_line(log) for log in logs]
        if self._unread is not None:
            self._unread += zip(lines, (log.get("worker_id") for log in logs), strict=True)
        if self._batch is not None:
            self._batch += lines
        else:
            self._lines.write(lines)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything appended within is one write, at the end; within another, part of that.

        Raises:
            DiskRefused, SearchStopped: See `Lines.write`.
        """
        if self._batch is not None:
            yield
            return
        self._batch = []
        try:
            yield
        finally:
            lines, self._batch = self._batch, None
            if lines:
                self._lines.write(lines)

    def sync(self) -> None:
        """Have everything written so far survive the machine's death.

        Raises:
            DiskRefused, SearchStopped: See `Lines.sync`.
        """
        self._lines.sync()


class JournalFile:
    """Lines in a file; created if there is none, and its last line is whole.

    A write comes after all earlier ones in the file, so one sync is enough for all of them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            path.touch()
        self._size = path.stat().st_size
        self._is_synced = True

    def read(self) -> Iterator[bytes]:
        """See `Lines`."""
        with self._path.open("rb") as file:
            yield from file

    def write(self, lines: Sequence[bytes]) -> None:
        """See `Lines`."""
        content = b"".join(line + b"\n" for line in lines)
        with writing(self._path), self._path.open("ab", buffering=0) as file:
            if file.write(content) != len(content):
                file.truncate(self._size)
                raise OSError(errno.ENOSPC, "only a part could be written")
        self._size += len(content)
        self._is_synced = False

    def sync(self) -> None:
        """See `Lines`."""
        if self._is_synced:
            return
        with writing(self._path), self._path.open("ab") as file:
            os.fsync(file.fileno())
        self._is_synced = True


class Snapshot:
    """Lines as they were when a journal was read, also while its driver writes to it.

    Args:
        content: The journal; a last line that is half, or none, is left out.
    """

    def __init__(self, content: bytes) -> None:
        self._lines = content.split(b"\n")[:-1]
        if self._lines and not is_record(self._lines[-1]):
            self._lines.pop()

    def read(self) -> Sequence[bytes]:
        """See `Lines`."""
        return self._lines

    def write(self, lines: Sequence[bytes]) -> None:
        """See `Lines`."""
        raise StudyError(
            "this is a study to look at, and nothing can be written to it; optuna.copy_study "
            "makes a copy that can"
        )

    def sync(self) -> None:
        """See `Lines`."""


def _parsed(line: bytes, number: int) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise StudyError(
            f"line {number} of the study's journal is damaged: {error}. The disk has lost what "
            "was written to it; put the journal back from a copy, or cut it off before that line"
        ) from error
    return parsed


def _line(log: Mapping[str, Any]) -> bytes:
    # Who wrote it matters to the writer alone, and would be a fifth of the journal.
    return json.dumps({**log, "worker_id": WRITER}, separators=(",", ":")).encode()
