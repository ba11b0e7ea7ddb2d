"""The folder in which processes make sets together: who is there, who has which chunk.

Layout:
    cache/features/.lock                    held for moments: joining, removing, giving a name
    cache/features/.tmp-<boot>-<digest>/    the sets of one key that are being made
        members                             locked, shared, by everybody who works here
        <number>.lock                       held by whoever computes a chunk with that remainder
        <cut's digest>                      one set; moved to cache/features/ when whole

Locks only spare work. Without them (the folder was deleted, a lock's holder hangs) a chunk is
computed twice, with the same result.
"""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from runner.data import DiskRefused, disk_errors, does_lock, lock_file, locked
from runner.experiment import sync
from runner.reuse.budget import LOCK_SUFFIX, MEMBERS, make_room
from runner.reuse.chunks import Extent
from runner.reuse.features import Features
from runner.reuse.order import Order
from runner.reuse.rows import Block
from runner.reuse.set_file import SetFile, read_set

_STORE_LOCK = ".lock"
# Chunks share locks by remainder, so that a million rows do not make thousands of files.
_LOCKS = 256

log = logging.getLogger(__name__)


class Workplace:
    """A folder of unfinished sets while this process takes part.

    Attributes:
        found: Sets that turned out to be finished, by cut.
    """

    def __init__(self, folder: Path, extent: Extent) -> None:
        self._folder, self._extent = folder, extent
        self._files: dict[str, SetFile] = {}
        self.found: dict[str, Features] = {}

    @classmethod
    @contextlib.contextmanager
    def joined(cls, folder: Path, order: Order, *, limit_bytes: int) -> Iterator["Workplace"]:
        """Take part until the end of the block.

        Raises:
            TooLarge: If others leave too little of the budget.
            DiskRefused: If the disk is read-only or full.
        """
        place, store = cls(folder, order.extent), folder.parent
        with disk_errors():
            store.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.callback(place._close)
            with locked(store / _STORE_LOCK, order.is_wanted), disk_errors():
                folder.mkdir(exist_ok=True)
                members = stack.enter_context(lock_file(folder / MEMBERS))
                # Never refused: only who holds the store's lock asks for this one alone.
                does_lock(members, is_shared=True)
                place._open(order, limit_bytes)
            try:
                yield place
            except DiskRefused:
                place._discard()
                raise
        place._tidy(limit_bytes)

    def _open(self, order: Order, limit_bytes: int) -> None:
        """Open every set that is not finished by now; make room for those not begun."""
        found = {cut: read_set(path, self._extent) for cut, path in order.targets.items()}
        self.found = {cut: features for cut, features in found.items() if features is not None}
        missing = [cut for cut in order.targets if cut not in self.found]
        new = [cut for cut in missing if not self._path(order.targets[cut]).exists()]
        if new:
            new_bytes = order.only(new).bytes
            make_room(self._folder.parent, new_bytes=new_bytes, limit_bytes=limit_bytes)
            if shutil.disk_usage(self._folder).free < new_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
        for cut in missing:
            path, reserve = self._path(order.targets[cut]), order.bytes_of(cut)
            self._files[cut] = SetFile.working(path, self._extent, reserve_bytes=reserve)

    def _path(self, target: Path) -> Path:
        return self._folder / target.stem

    def undone(self) -> np.ndarray:
        """Chunks that are still missing of any set, int64 [n]."""
        is_done = np.ones(self._extent.chunks, bool)
        for file in self._files.values():
            is_done &= file.done()
        return np.flatnonzero(~is_done)

    @contextlib.contextmanager
    def claim(self, chunks: np.ndarray) -> Iterator[int | None]:
        """The first of some chunks that nobody has, this process's own within the block.

        None if others have them all. A process that dies within the block loses its claim.
        """
        with contextlib.ExitStack() as stack:
            yield next((chunk for chunk in chunks.tolist() if self._does_take(chunk, stack)), None)

    def _does_take(self, chunk: int, stack: contextlib.ExitStack) -> bool:
        """Lock a chunk, until the stack is closed, if nobody has."""
        name = f"{chunk % _LOCKS}{LOCK_SUFFIX}"
        with disk_errors(), contextlib.ExitStack() as attempt:
            try:
                file = attempt.enter_context(lock_file(self._folder / name))
            except FileNotFoundError:
                return True  # the folder was deleted: there is nothing left to lock
            if does_lock(file):
                stack.push(attempt.pop_all())
                return True
            return False

    def lacks(self, chunk: int) -> bool:
        """Whether a chunk is missing of any set."""
        return not all(file.is_done(chunk) for file in self._files.values())

    def write(self, chunk: int, blocks: dict[str, Block]) -> None:
        """Add a chunk to every set."""
        for cut, file in self._files.items():
            file.write(chunk, blocks[cut])

    def finish(self, order: Order) -> dict[str, Features]:
        """Give every set, all of whose chunks must be there, its final name; and open them all.

        One process does it for a set. Others need not wait: what they see is whole already.
        """
        for cut, file in self._files.items():
            self._publish(file, order.targets[cut], order.is_wanted)
        made = {cut: file.features() for cut, file in self._files.items()}
        return {**self.found, **made}

    def _publish(self, file: SetFile, target: Path, is_wanted: Callable[[], None]) -> None:
        working = self._path(target)
        with file.publishing() as is_mine:
            if not is_mine or not file.is_at(working):
                return
            file.seal()
            with locked(target.parent / _STORE_LOCK, is_wanted), disk_errors():
                if file.is_at(working):
                    _rename(working, target)

    def _discard(self) -> None:
        """Remove what is unfinished, so that it does not keep a full disk full."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob("*"):
                if any(file.is_at(path) for file in self._files.values()):
                    path.unlink()

    def _close(self) -> None:
        for file in self._files.values():
            file.close()

    def _tidy(self, limit_bytes: int) -> None:
        """Leave nothing empty behind, nor more than the limit; not worth waiting for."""
        store = self._folder.parent
        with contextlib.suppress(OSError), lock_file(store / _STORE_LOCK) as file:
            if does_lock(file):
                make_room(store, new_bytes=0, limit_bytes=limit_bytes)


def _rename(working: Path, target: Path) -> None:
    """Give a sealed file its name for good, unless it was deleted this moment."""
    with contextlib.suppress(FileNotFoundError):
        working.replace(target)
        sync(target.parent)
