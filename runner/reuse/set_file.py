"""The file of one set: written by several processes at once, mapped when it is whole.

Layout, all numbers little-endian:
    0               what a row looks like, as JSON padded with zeros; empty before the first chunk
    4088            ragged: steps reserved so far, int64
    4096            one byte for each chunk: 1 when its rows are all written
    then            ragged: first step, then number of steps of each row, int64 [2, N]
    next 4096       values: row after row; ragged: chunks in the order in which they were written

A mark is written after the rows it speaks of, and both belong to one file: so whoever finds a
mark finds the rows, also when a writer was killed or the name was removed. Only a loss of power
can part them; that is why a file gets its final name after a sync, and a half-made one is never
used after another start of the machine.
"""

import contextlib
import fcntl
import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from runner.data import DiskRefused, disk_errors, does_lock, write_all
from runner.reuse.chunks import Extent
from runner.reuse.features import IN_MEMORY_BYTES, DenseFeatures, Features, RaggedFeatures
from runner.reuse.rows import Block, RowSpec

FORMAT_VERSION = 1
_PAGE = 4096
_RESERVED_AT = _PAGE - 8
_INT64 = np.dtype("<i8")


class SetFile:
    """An open file of one set; close it when done, what it has mapped stays.

    Attributes:
        number: Its file descriptor.
    """

    def __init__(self, number: int, extent: Extent) -> None:
        self.number, self._extent = number, extent
        self._known: RowSpec | None = None

    @classmethod
    def working(cls, path: Path, extent: Extent, *, reserve_bytes: int) -> "SetFile":
        """The file in which a set is being made, begun if nobody has.

        Args:
            path: Where.
            extent: Its rows.
            reserve_bytes: What it is expected to take; counted as used from now on.
        Raises:
            DiskRefused: If it cannot be opened or made.
        """
        with disk_errors():
            made = cls(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), extent)
            made._grow(reserve_bytes)
        return made

    def close(self) -> None:
        """Give the file back."""
        os.close(self.number)

    def done(self) -> np.ndarray:
        """Which chunks are there, bool [chunks]."""
        with disk_errors():
            marks = os.pread(self.number, self._extent.chunks, _PAGE)
        found = np.zeros(self._extent.chunks, bool)
        found[: len(marks)] = np.frombuffer(marks, np.uint8) == 1
        return found

    def is_done(self, chunk: int) -> bool:
        """Whether a chunk is there."""
        with disk_errors():
            return os.pread(self.number, 1, _PAGE + chunk) == b"\x01"

    def write(self, chunk: int, block: Block) -> None:
        """Add the rows of a chunk; nothing happens if they are there already.

        Raises:
            ValueError: If the rows do not look like those of other chunks.
            DiskRefused: If the disk is full, for example.
        """
        with disk_errors():
            with self._alone():
                if self.is_done(chunk):
                    return
                self._agree(block.spec)
                first = 0 if block.lengths is None else self._reserve(len(block.values))
            first_row = chunk * self._extent.chunk_rows
            if block.lengths is not None:
                starts = first + np.cumsum(block.lengths) - block.lengths
                self._write_row_numbers(0, first_row, starts)
                self._write_row_numbers(1, first_row, block.lengths)
            unit = first_row if block.lengths is None else first
            place = _values_at(self._extent, is_ragged=block.spec.is_ragged)
            write_all(self.number, block.values, offset=place + unit * block.spec.unit_bytes)
            write_all(self.number, np.ones(1, np.uint8), offset=_PAGE + chunk)

    @contextlib.contextmanager
    def publishing(self) -> Iterator[bool]:
        """Whether it is for this process to seal the set and give it its name.

        Unlocked by name at the end: a map of the file keeps it open, and with it the lock.
        """
        with disk_errors():
            is_mine = does_lock(self.number)
        try:
            yield is_mine
        finally:
            if is_mine:
                fcntl.flock(self.number, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only writer for a moment."""
        fcntl.flock(self.number, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.number, fcntl.LOCK_UN)

    def _agree(self, spec: RowSpec) -> None:
        """Say what a row looks like, or check it against what another chunk's looked like."""
        known = self.spec()
        if known is None:
            said = {"version": FORMAT_VERSION, **spec.__dict__}
            write_all(self.number, np.frombuffer(json.dumps(said).encode(), np.uint8), offset=0)
            if not spec.is_ragged:
                self._grow(self._exact_bytes(spec))
        elif known != spec:
            raise ValueError(f"rows like {spec} computed, where other chunks have {known}")

    def spec(self) -> RowSpec | None:
        """What a row looks like; None before the first chunk."""
        if self._known is None:
            said = os.pread(self.number, _RESERVED_AT, 0).rstrip(b"\0")
            self._known = _spec_of(said) if said else None
        return self._known

    def _grow(self, size: int) -> None:
        if os.fstat(self.number).st_size < size:
            os.ftruncate(self.number, size)

    def _reserved(self) -> int:
        """Steps that chunks have taken so far."""
        return int.from_bytes(os.pread(self.number, 8, _RESERVED_AT), "little")

    def _reserve(self, steps: int) -> int:
        """Take the next place for so many steps; a writer killed after this leaves a gap."""
        first = self._reserved()
        write_all(self.number, np.array([first + steps], _INT64), offset=_RESERVED_AT)
        return first

    def _write_row_numbers(self, kind: int, first_row: int, numbers: np.ndarray) -> None:
        place = _row_numbers_at(self._extent) + 8 * (kind * self._extent.count + first_row)
        write_all(self.number, numbers.astype(_INT64), offset=place)

    def _exact_bytes(self, spec: RowSpec) -> int:
        """Size of the whole file."""
        units = self._reserved() if spec.is_ragged else self._extent.count
        return _values_at(self._extent, is_ragged=spec.is_ragged) + units * spec.unit_bytes

    def seal(self) -> None:
        """Cut the file, all of whose chunks are there, to its exact size and sync it.

        Raises:
            DiskRefused: If the disk has lost what was written.
        """
        with disk_errors():
            spec = self.spec()
            assert spec is not None
            os.ftruncate(self.number, self._exact_bytes(spec))
            os.fsync(self.number)

    def is_whole(self) -> bool:
        """Whether this is a set of this extent with nothing missing."""
        with disk_errors():
            spec = self.spec()
            size = os.fstat(self.number).st_size
        return spec is not None and size == self._exact_bytes(spec) and bool(self.done().all())

    def is_at(self, path: Path) -> bool:
        """Whether this very file is what the path names."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self.number))
        except FileNotFoundError:
            return False

    def features(self) -> Features:
        """The rows, all of which must be there: in memory if the set is small, else mapped."""
        with disk_errors():
            spec = self.spec()
            assert spec is not None
            # Not a copy-on-write map: of those the kernel refuses ones larger than its memory.
            mapped = mmap.mmap(self.number, 0, access=mmap.ACCESS_READ)
            units = self._reserved() if spec.is_ragged else self._extent.count
        place = _values_at(self._extent, is_ragged=spec.is_ragged)
        values = np.ndarray((units, *spec.shape), spec.stored_as, mapped, place)
        is_small = values.nbytes <= IN_MEMORY_BYTES
        values = np.array(values) if is_small else values
        if not spec.is_ragged:
            return DenseFeatures(spec, values, is_small)
        shape = (2, self._extent.count)
        numbers = np.array(np.ndarray(shape, _INT64, mapped, _row_numbers_at(self._extent)))
        return RaggedFeatures(spec, values, numbers[0], numbers[1], is_small)


def read_set(path: Path, extent: Extent) -> Features | None:
    """A finished set; None where there is none, or one that is cut short or not ours."""
    try:
        file = SetFile(os.open(path, os.O_RDONLY), extent)
    except OSError:
        return None
    try:
        return file.features() if file.is_whole() else None
    except DiskRefused:
        return None
    finally:
        file.close()


def set_bytes(extent: Extent, row_bytes: int) -> int:
    """What a set takes on disk at most, given the bytes of a row (ragged: of a mean row)."""
    return _values_at(extent, is_ragged=True) + extent.count * row_bytes


def _spec_of(said: bytes) -> RowSpec | None:
    """What the head of a file says; None where it is another version's or no set at all."""
    try:
        told = json.loads(said)
        if told.pop("version") != FORMAT_VERSION:
            return None
        spec = RowSpec(told["dtype"], tuple(told["shape"]), told["is_ragged"])
        return spec if spec.unit_bytes >= 0 else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _row_numbers_at(extent: Extent) -> int:
    return _PAGE + -(-extent.chunks // 8) * 8


def _values_at(extent: Extent, *, is_ragged: bool) -> int:
    end = _row_numbers_at(extent) + (16 * extent.count if is_ragged else 0)
    return -(-end // _PAGE) * _PAGE
