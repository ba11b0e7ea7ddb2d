"""What dead attempts and ended trials leave on the disk and nobody will read again, removed."""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from runner.experiment import discard
from runner.study.inbox import INBOX
from runner.study.record import StudyRecord
from runner.study.storage import trials_folder
from runner.study.trial_record import TrialRecord
from runner.trial import Outcome, clear_ended, clear_state

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
    removed += [path for path in sorted(_half_written(folder)) if discard(path)]
    if removed:
        logger.info("removed %d files and folders that nobody needs any more", len(removed))
    return removed


def _sweep_trial(place: Path, trial: TrialRecord | None) -> list[Path]:
    """Of one trial's folder; None: the study does not know it."""
    if trial is None:
        # Its record was lost with the power: the next trial of that number must not go on here.
        return clear_state(place)
    if trial.is_waiting or trial.outcome is None:
        return []
    is_complete = trial.outcome is Outcome.COMPLETE
    return clear_ended(place, is_complete=is_complete, is_segment=trial.segment is not None)


def _half_written(folder: Path) -> Iterator[Path]:
    now = time.time()
    for pattern in _HALF_WRITTEN:
        yield from folder.glob(pattern)
        yield from trials_folder(folder).glob(f"[0-9]*/{pattern}")
        for path in (folder / INBOX).glob(pattern):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _WISH_S:
                    yield path
