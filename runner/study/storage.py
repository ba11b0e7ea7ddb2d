"""Where a study lives on disk: its lock, and Optuna's journal with a repaired tail.

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

if TYPE_CHECKING:
    import optuna

    from runner.study.journal import StudyJournal

JOURNAL = "journal.log"
LOCK = "lock"
ARCHIVED = "archived"
# Others look whether a study is locked by locking it themselves for a moment.
LOOKED_AT_S = 0.5


class _KernelLocked:
    """Optuna's file lock, for a file that only the holder of the study's lock writes."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return


def study_folder(studies: Path, name: str, *, new: bool = False) -> Path:
    """Folder of the newest study of an experiment, or of the next one.

    An experiment's studies are numbered from 1; `--new` and archiving begin the next.
    """
    numbers = study_numbers(studies, name)
    latest = numbers[-1] if numbers else 0
    is_archived = latest > 0 and (studies / name / str(latest) / ARCHIVED).exists()
    number = latest + 1 if new or is_archived or latest == 0 else latest
    return studies / name / str(number)


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


def existing_study_folder(studies: Path, reference: str) -> Path:
    """Folder of a study that is there, by `name` (the newest) or `name:number`.

    Raises:
        NotFound: If there is none; the message lists those there are.
    """
    name, _, number = reference.partition(":")
    numbers = study_numbers(studies, name)
    wanted = int(number) if number.isdecimal() else None
    if not name or not numbers or (number and wanted not in numbers):
        there = sorted(
            f"{entry.name}:{n}"
            for entry in (studies.iterdir() if studies.is_dir() else ())
            for n in study_numbers(studies, entry.name)
        )
        known = f"there are {', '.join(there)}" if there else "none has been begun here"
        raise NotFound(f"no study {reference!r} under {studies}; {known}")
    return studies / name / str(numbers[-1] if wanted is None else wanted)


def trial_folder(folder: Path, number: int) -> Path:
    """The folder of one trial: its log, checkpoint, evaluation and weights."""
    return trials_folder(folder) / f"{number:05d}"


def trials_folder(folder: Path) -> Path:
    """The folder with one folder a trial."""
    return folder / "trials"


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Hold a study; only its holder may write to it.

    Raises:
        StudyLocked: If another process holds it; the message says which.
    """
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
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield
        # Left standing by a kill or an error, it tells the next command to look after the study.
        lock.truncate(0)
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
    """Whether the study's last driver died, or ended with an error, and nobody came after."""
    path = folder / LOCK
    return path.exists() and path.stat().st_size > 0 and not is_locked(folder)


def open_journal(folder: Path) -> "tuple[optuna.storages.JournalStorage, StudyJournal]":
    """Optuna's storage of a study for the holder of its lock, and the file behind it.

    Side effects: a last line that a killed driver left unfinished is cut off.
    """
    import optuna

    from runner.study.journal import StudyJournal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / JOURNAL
    if path.exists():
        repair_tail(path)
    journal = StudyJournal(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.JournalStorage(journal), journal


def open_for_reading(folder: Path) -> "optuna.storages.JournalStorage":
    """Optuna's storage of a study, also while a driver writes to it: half a line is ignored."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        backend = JournalFileBackend(str(folder / JOURNAL), lock_obj=_KernelLocked())  # type: ignore[arg-type]
        return optuna.storages.JournalStorage(backend)


def load_study(folder: Path, storage: "optuna.storages.BaseStorage") -> "optuna.Study":
    """The study in a storage; nothing is sampled with it."""
    import optuna

    sampler = optuna.samplers.RandomSampler()
    return optuna.load_study(storage=storage, study_name=folder.parent.name, sampler=sampler)


def repair_tail(path: Path) -> int:
    """Cut a journal back to its last whole record; returns the bytes cut.

    A kill in the middle of an append leaves half a line; a power cut can leave a line of zero
    bytes. Optuna opens such a file and then fails on the next write.
    """
    size = path.stat().st_size
    with path.open("rb+") as file:
        good = size
        while good > 0:
            start = _line_start(file, good)
            file.seek(start)
            if _is_record(file.read(good - start)):
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


def _is_record(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
