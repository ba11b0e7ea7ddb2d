"""Runs in MLflow that commands beside a search have under way: who died with one is found out.

`promote` and `train` make a run of their own. Each marks it by a file that it keeps locked; the
kernel lets go of the lock when the process dies, so a mark that nobody holds is of a dead one.
"""

import contextlib
import fcntl
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runner.errors import DiskRefused, TrackingUnreachable
from runner.experiment import Store, discard
from runner.tracking import TAG_OUTCOME, RunStatus, Tracking, connect

logger = logging.getLogger(__name__)

UNDER_WAY = "underway"
# Tag of such a run: its mark's name.
TAG_MARK = "runner.mark"


@dataclass
class Mark:
    """A mark of this process.

    Attributes:
        name: Its name, unlike any other's; a time comes first.
        is_left: Set where the run could not be ended: the next command is to do it.
    """

    name: str
    is_left: bool = False


@contextlib.contextmanager
def under_way(folder: Path) -> Iterator[Mark]:
    """Mark in a folder that this process has a run of its own, until the block ends.

    On a disk that takes no mark there is none: what is under way matters more.

    Args:
        folder: A study's, or another that the next command looks into.
    """
    mark = Mark(f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
    path = folder / UNDER_WAY / mark.name
    held = _locked_file(path)
    try:
        yield mark
    finally:
        if held is not None:
            if not mark.is_left:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            held.close()


def _locked_file(path: Path) -> IO[str] | None:
    # Locked before it has its name: no one takes it for a dead one's in between.
    hidden = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = hidden.open("w")
    except OSError as error:
        logger.warning("%s cannot be written: %s", path, error)
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(path)
    except OSError as error:
        logger.warning("%s cannot be locked: %s", path, error)
        file.close()
        discard(hidden)
        return None
    return file


def has_dead(folder: Path) -> bool:
    """Whether a process died, or failed, and left its mark in a folder."""
    return bool(_dead(folder))


def living(folder: Path) -> set[str]:
    """The marks in a folder that living processes hold: their runs are not to be ended."""
    return {path.name for path in _marks(folder) if not _is_dead(path)}


def _dead(folder: Path) -> list[str]:
    return sorted(path.name for path in _marks(folder) if _is_dead(path))


def _marks(folder: Path) -> list[Path]:
    try:
        return [path for path in (folder / UNDER_WAY).iterdir() if path.name[0] != "."]
    except OSError:
        return []


def _is_dead(path: Path) -> bool:
    try:
        with path.open() as file:
            # Shared, so that two that look at once do not take each other for its owner.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        # Held, or gone meanwhile.
        return False
    return True


def end_dead(folder: Path, *, uri: str | None) -> None:
    """End in MLflow what dead processes have left RUNNING there, of a study's folder.

    Where MLflow does not answer, the marks stay for the next command.

    Args:
        folder: The study's.
        uri: Its setting; see `connect`.
    """
    marks = _dead(folder)
    if not marks:
        return
    try:
        end_marked(connect(uri, Store.of_study(folder)), folder, marks)
    except (TrackingUnreachable, DiskRefused) as error:
        logger.warning("MLflow still shows what a killed command had under way: %s", error)


def end_marked(tracking: Tracking, folder: Path, marks: Sequence[str] | None = None) -> None:
    """As `end_dead`, with a connection.

    Args:
        tracking: MLflow.
        folder: Where the marks are.
        marks: Of dead processes; None: all that are there.
    Raises:
        TrackingUnreachable: If MLflow does not answer; the marks stay.
    """
    for mark in _dead(folder) if marks is None else marks:
        with tracking.answering():
            client = tracking.client
            wanted = f"tags.`{TAG_MARK}` = '{mark}' AND attributes.status = 'RUNNING'"
            for run in client.search_runs(tracking.experiment_ids(), wanted):
                client.set_tag(run.info.run_id, TAG_OUTCOME, "interrupted")
                client.set_terminated(run.info.run_id, status=RunStatus.KILLED)
        with contextlib.suppress(OSError):
            (folder / UNDER_WAY / mark).unlink(missing_ok=True)
