"""The file behind a study: Optuna's journal, written by the one driver that owns it.

Optuna's own file back end writes and syncs each operation by itself and opens the file again to
read it back: a trial is ten operations, and a sync costs milliseconds. Here what belongs together
is one write, and syncing is a step of its own. What has been written survives the death of the
process; what has been synced survives that of the machine. A write comes after all earlier ones
in the file, so one sync is enough for everything before it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from runner.errors import SearchStopped

# What stands for the writer in every line; Optuna would write a long random name.
WRITER = "driver"


class StudyJournal(BaseJournalBackend):
    """A journal that nobody else writes while this object lives.

    Args:
        path: The file; created if there is none. Its last line is whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()
        self._size = path.stat().st_size
        self._unread: list[tuple[bytes, str | None]] | None = None
        self._batch: list[bytes] | None = None
        self._is_synced = True

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """What was appended since the last call; the whole file at the first."""
        if self._unread is None:
            self._unread = []
            with self._path.open("rb") as file:
                yield from map(json.loads, file)
            return
        unread, self._unread = self._unread, []
        for line, worker in unread:
            # As a reader of the file would have it: no tuples, text keys.
            yield {**json.loads(line), "worker_id": worker}

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, or keep them for the end of the batch.

        Raises:
            SearchStopped: If they cannot be written.
        """
        lines = [_line(log) for log in logs]
        if self._unread is not None:
            self._unread += zip(lines, (log.get("worker_id") for log in logs), strict=True)
        if self._batch is not None:
            self._batch += lines
        else:
            self._write(b"".join(lines))

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything appended within is one write, at the end; within another, part of that.

        Raises:
            SearchStopped: If it cannot be written.
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
                self._write(b"".join(lines))

    def sync(self) -> None:
        """Have everything written so far on the disk.

        Raises:
            SearchStopped: If the disk refuses.
        """
        if self._is_synced:
            return
        try:
            with self._path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise self._broken(error) from error
        self._is_synced = True

    def _write(self, content: bytes) -> None:
        try:
            with self._path.open("ab", buffering=0) as file:
                written = file.write(content)
                if written != len(content):
                    file.truncate(self._size)
                    raise OSError(f"only {written} of {len(content)} bytes could be written")
        except OSError as error:
            raise self._broken(error) from error
        self._size += len(content)
        self._is_synced = False

    def _broken(self, error: OSError) -> SearchStopped:
        return SearchStopped(
            f"the study's journal {self._path} cannot be written: {error}. Nothing that was told "
            "before is lost; make room and search again"
        )


def _line(log: Mapping[str, Any]) -> bytes:
    # Who wrote it matters to the writer alone, and would be a fifth of the file.
    return json.dumps({**log, "worker_id": WRITER}, separators=(",", ":")).encode() + b"\n"
