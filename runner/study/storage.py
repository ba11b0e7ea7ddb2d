"""A study on disk: its lock, and Optuna's journal with a repaired tail.

The default storage is one journal file a study (benchmarks/storage.py has the figures that
chose it). One driver owns it, by a lock that the kernel releases with the process, so Optuna's
own file lock (which costs 30 s when stale) is not needed.
"""

import fcntl
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from runner.errors import NotFound, StudyLocked
from runner.experiment import writing
from runner.study.underway import has_dead

if TYPE_CHECKING:
    import optuna
    from optuna.storages.journal import BaseJournalBackend

JOURNAL = "journal.log"
LOCK = "lock"
ARCHIVED = "archived"
# Others look whether a study is locked by locking it themselves for a moment.
LOOKED_AT_S = 0.5


def study_numbers(studies: Path, name: str) -> list[int]:
    """Numbers of an experiment's studies that are on disk, ascending."""
    folder = studies / name
    if not folder.is_dir():
        return []
    return sorted(
        int(entry.name)
        for entry in folder.iterdir()
        if entry.name.isdecimal() and _has_begun(entry / JOURNAL)
    )


def _has_begun(journal: Path) -> bool:
    """Whether a study was written at all; a kill may come before its first record is whole."""
    if not journal.exists():
        return False
    with journal.open("rb") as file:
        return file.readline().endswith(b"\n")


def trial_folder(folder: Path, number: int) -> Path:
    """The folder of one trial: its log, checkpoint, evaluation and weights."""
    return trials_folder(folder) / f"{number:05d}"


def trial_log(folder: Path, number: int) -> Path:
    """What one trial has printed, all its attempts."""
    return trial_folder(folder, number) / "log.txt"


def trials_folder(folder: Path) -> Path:
    """The folder with one folder a trial."""
    return folder / "trials"


def require_here(path: Path, what: str) -> None:
    """See that what a trial left is on this machine: a study in a database may be another's.

    Raises:
        NotFound: If it is not.
    """
    if not path.exists():
        raise NotFound(
            f"{what} is not on this machine: {path} is missing. Run the command where the trial "
            "ran, or with RUNNER_HOME on a disk that both share"
        )


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Hold a study; only its holder may write to it.

    Raises:
        StudyLocked: If another process holds it; the message says which.
        DiskRefused: If its folder cannot be written.
    """
    with writing(folder / LOCK):
        folder.mkdir(parents=True, exist_ok=True)
        lock: IO[str] = (folder / LOCK).open("a+")
    if not _has_taken(lock, within_s=LOOKED_AT_S):
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise StudyLocked(
            f"the study in {folder} is being searched by {holder}; watch it with "
            f"`python -m runner status {folder.parent.name}`, end it with "
            f"`python -m runner stop {folder.parent.name}`"
        )
    try:
        with writing(folder / LOCK):
            os.ftruncate(lock.fileno(), 0)
            # Not through the file's buffer: what a full disk refuses would be in there at its end.
            os.write(lock.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
        # Left standing by a kill or an error, it tells the next command to look after the study.
        with writing(folder / LOCK):
            os.ftruncate(lock.fileno(), 0)
    finally:
        lock.close()


def _has_taken(lock: IO[str], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def is_locked(folder: Path) -> bool:
    """Whether a living driver holds the study."""
    path = folder / LOCK
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            # Shared, so that two that look at once do not take each other for a driver.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_left_behind(folder: Path) -> bool:
    """Whether a driver of the study died, or ended with an error, and nobody came after.

    Or a command that had a run of its own in MLflow, such as `promote`.
    """
    if is_locked(folder):
        return False
    path = folder / LOCK
    return (path.exists() and path.stat().st_size > 0) or has_dead(folder)


def open_storage(backend: "BaseJournalBackend") -> "optuna.storages.JournalStorage":
    """Optuna's storage over a journal."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.JournalStorage(backend)


def load_study(name: str, storage: "optuna.storages.BaseStorage") -> "optuna.Study":
    """The study in a storage, by its experiment's name; nothing is sampled with it."""
    import optuna

    sampler = optuna.samplers.RandomSampler()
    return optuna.load_study(storage=storage, study_name=name, sampler=sampler)


def repair_tail(path: Path) -> int:
    """Cut a journal back to its last whole record; returns the bytes cut.

    A kill in the middle of an append leaves half a line; a power cut can leave a line of zero
    bytes. Optuna opens such a file and then fails on the next write.

    Raises:
        DiskRefused: If the journal cannot be written.
    """
    size = path.stat().st_size
    with writing(path), path.open("rb+") as file:
        good = size
        while good > 0:
            start = _line_start(file, good)
            file.seek(start)
            line = file.read(good - start)
            if line.endswith(b"\n") and is_record(line):
                break
            good = start
        if good < size:
            file.truncate(good)
            os.fsync(file.fileno())
    return size - good


def _line_start(file: IO[bytes], end: int, block: int = 65536) -> int:
    """Where the line that ends at `end` (its newline included, if it has one) begins."""
    position = end - 1
    while position > 0:
        start = max(0, position - block)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


def is_record(line: bytes) -> bool:
    """Whether a line of a journal is whole."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
