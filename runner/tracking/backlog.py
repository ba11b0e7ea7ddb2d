"""Records that wait for MLflow: a few in memory, the rest of them in a file."""

import os
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from runner.tracking.records import Record, from_bytes, to_bytes

# An outage of hours must not fill the driver's memory; a minute's does not need the disk.
IN_MEMORY = 1000

_LENGTH = struct.Struct("<Q")


class Backlog:
    """A queue of records that takes no more memory however long it becomes.

    The file has no name, so that nobody else writes to it and nothing is left of it when the
    process dies: what a dead driver had not delivered is written again from the study, which has
    all of it. Not thread-safe.

    Args:
        folder: Where the file is; made if there is none. None: where temporary files are.
        in_memory: How many records are held in memory.
    """

    def __init__(self, folder: Path | None = None, *, in_memory: int = IN_MEMORY) -> None:
        self._folder = folder
        self._in_memory = in_memory
        # The oldest, then those in the file, then what the file could not take. The file has
        # something only where the oldest are as many as memory may hold.
        self._oldest: list[Record] = []
        self._newest: list[Record] = []
        # How many of those there must be before the file is tried again.
        self._worth_writing = 1
        self._file: IO[bytes] | None = None
        self._read_to = 0
        self._written_to = 0

    def __bool__(self) -> bool:
        return bool(self._oldest)

    def put(self, records: Iterable[Record]) -> None:
        """Add records at the end. Where the disk takes none, memory has to."""
        for record in records:
            if len(self._oldest) < self._in_memory and not self._newest:
                self._oldest.append(record)
            else:
                self._newest.append(record)
        if len(self._newest) >= self._worth_writing:
            is_written = self._write()
            self._worth_writing = 1 if is_written else 2 * len(self._newest)

    def take(self) -> list[Record]:
        """The oldest records, which are no longer in the queue; empty if there are none."""
        taken, self._oldest = self._oldest, self._read()
        if not self._oldest:
            self._oldest, self._newest = self._newest, []
        return taken

    def close(self) -> None:
        """Forget everything."""
        self._oldest, self._newest = [], []
        if self._file is not None:
            self._file.close()
        self._file = None
        self._read_to = self._written_to = 0

    @property
    def _is_read(self) -> bool:
        """Whether nothing is left in the file."""
        return self._read_to == self._written_to

    def _write(self) -> bool:
        """Move the newest records into the file; gives whether it took them."""
        contents = [to_bytes(record) for record in self._newest]
        frames = b"".join(_LENGTH.pack(len(content)) + content for content in contents)
        try:
            file = self._opened()
            # What a full disk took of it is written over by the next attempt.
            if os.pwrite(file.fileno(), frames, self._written_to) < len(frames):
                return False
        except OSError:
            return False
        self._written_to += len(frames)
        self._newest = []
        return True

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - until `close`
        return self._file

    def _read(self) -> list[Record]:
        """The next records of the file, which is emptied with its last one."""
        records: list[Record] = []
        if self._file is None:
            return records
        number = self._file.fileno()
        while len(records) < self._in_memory and not self._is_read:
            (length,) = _LENGTH.unpack(os.pread(number, _LENGTH.size, self._read_to))
            content = os.pread(number, length, self._read_to + _LENGTH.size)
            records.append(from_bytes(content))
            self._read_to += _LENGTH.size + length
        if self._is_read:
            self._read_to = self._written_to = 0
            os.ftruncate(number, 0)
        return records
