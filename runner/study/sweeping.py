"""What dead attempts and ended trials leave on the disk and nobody will read again, removed."""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from runner.study.inbox import INBOX
from runner.study.logbook import WEIGHTS
from runner.study.record import StudyRecord
from runner.study.storage import trials_folder
from runner.study.trial_record import TrialRecord
from runner.trial import CHECKPOINT, INHERITED, MODEL, Outcome, clear_ended

logger = logging.getLogger(__name__)

# Half-written files; `.partial` are those of copies.
_HALF_WRITTEN = ("*.tmp", "*.partial")
# Wishes are written by other processes at any time; none takes this long.
_WISH_S = 3600.0


def sweep(folder: Path, record: StudyRecord) -> list[Path]:
    """Remove checkpoints of trials that have ended for good, and what was left half written.

    What is kept: all of trials that wait or run, the state from which a population's next trials
    go on, weights and models of complete trials (the logbook knows which are among the best), and
    logs, evaluations and scratch folders of all.

    Args:
        folder: The study's; the caller holds its lock.
        record: The study, with what a dead driver left settled.
    Returns:
        What was removed, in order. What the disk does not let go of stays.
    """
    trials = {trial.number: trial for trial in record.trials()}
    removed: list[Path] = []
    for place in sorted(trials_folder(folder).glob("[0-9]*")):
        if place.is_dir() and place.name.isdecimal():
            removed += _sweep_trial(place, trials.get(int(place.name)))
    for path in sorted(_half_written(folder)):
        removed += _removed(path, path.unlink)
    if removed:
        logger.info("removed %d files and folders that nobody needs any more", len(removed))
    return removed


def _sweep_trial(place: Path, trial: TrialRecord | None) -> Iterator[Path]:
    """Of one trial's folder; None: the study does not know it."""
    if trial is None:
        # Its record was lost with the power: the next trial of that number must not go on here.
        yield from _remove_files(place, CHECKPOINT, INHERITED)
        yield from _remove_folders(place, "checkpoint", "checkpoint.old", "checkpoint.new")
    elif not trial.is_waiting and trial.outcome is not None:
        yield from _sweep_ended(place, trial.outcome, is_segment=trial.segment is not None)


def _sweep_ended(place: Path, outcome: Outcome, *, is_segment: bool) -> Iterator[Path]:
    is_complete = outcome is Outcome.COMPLETE
    if not (is_segment and is_complete):
        yield from _remove_files(place, CHECKPOINT)
    yield from _remove_files(place, INHERITED)
    if not is_complete:
        yield from _remove_files(place, WEIGHTS)
    left = _own_folders(place)
    # Paused and lost trials keep their checkpoint; this one goes on no more.
    clear_ended(place, outcome if is_complete else Outcome.FAILED)
    yield from (path for path in left if not path.exists())


def _own_folders(place: Path) -> list[Path]:
    """What a trial of one's own has beside its scratch folder."""
    found = [path for name in ("checkpoint*", f"{MODEL}*") for path in place.glob(name)]
    return sorted(path for path in found if path.is_dir())


def _half_written(folder: Path) -> Iterator[Path]:
    now = time.time()
    for pattern in _HALF_WRITTEN:
        yield from folder.glob(pattern)
        yield from trials_folder(folder).glob(f"[0-9]*/{pattern}")
        for path in (folder / INBOX).glob(pattern):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _WISH_S:
                    yield path


def _remove_files(place: Path, *names: str) -> Iterator[Path]:
    for name in names:
        if (path := place / name).is_file():
            yield from _removed(path, path.unlink)


def _remove_folders(place: Path, *names: str) -> Iterator[Path]:
    for name in names:
        if (path := place / name).is_dir():
            yield from _removed(path, partial(shutil.rmtree, path))


def _removed(path: Path, remove: Callable[[], None]) -> Iterator[Path]:
    try:
        remove()
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error)
        return
    yield path
