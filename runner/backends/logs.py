"""Where what a job prints goes: a log in the folder of its first trial."""

import os
import sys
from pathlib import Path

from runner.experiment import writing
from runner.trial import Job


def log_of(job: Job) -> Path:
    """File that takes what a job prints: the log of its first trial."""
    return Path(job.trials[0].folder) / "log.txt"


def print_to_log(job: Job) -> None:
    """Send what a job that begins prints to its log; those of its other trials say where it is.

    Raises:
        DiskRefused: If the disk refuses.
    """
    with writing(log_of(job)):
        print_to(_open_log(job))


def _open_log(job: Job) -> Path:
    log = log_of(job)
    log.parent.mkdir(parents=True, exist_ok=True)
    for spec in job.trials[1:]:
        folder = Path(spec.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / log.name).open("a") as other:
            other.write(f"trained together with trial {job.trials[0].key.trial}: see {log}\n")
    return log


def print_to(path: Path) -> None:
    """Send standard output and error, of C libraries too, to the end of a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    redirect(descriptor, descriptor)
    os.close(descriptor)


def redirect(output: int, error: int) -> None:
    """Send standard output and error to open files, given by their descriptors."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(output, 1)
    os.dup2(error, 2)
