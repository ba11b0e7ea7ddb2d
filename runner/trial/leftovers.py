"""What a trial leaves in its folder that nobody will read again, removed.

What the disk does not let go of stays, and the log says so.
"""

import logging
from pathlib import Path

from runner.experiment import discard
from runner.trial.custom.folders import MODEL, settle_folder
from runner.trial.job import CHECKPOINT, INHERITED, WEIGHTS

logger = logging.getLogger(__name__)

# What a trial would go on from, of ours and of objectives of one's own; whole and half made.
_STATE = ("checkpoint*", INHERITED)


def clear_state(folder: Path) -> list[Path]:
    """Remove what a trial would go on from; gives what has gone.

    Args:
        folder: The trial's.
    """
    return _discarded(folder, *_STATE)


def clear_ended(folder: Path, *, is_complete: bool, is_segment: bool = False) -> list[Path]:
    """Remove what nobody needs any more of a trial that has ended for good; gives what has gone.

    Weights and model of a complete trial stay, and of all of them logs, evaluations and scratch
    folders.

    Args:
        folder: The trial's.
        is_complete: Whether it ended well.
        is_segment: Whether others may then go on from its last state.
    """
    if not is_complete:
        return _discarded(folder, *_STATE, WEIGHTS, f"{MODEL}*", "*.tmp")
    try:
        settle_folder(folder / MODEL)
    except OSError as error:
        logger.warning("%s stays as a kill has left it: %s", folder / MODEL, error)
    kept = CHECKPOINT if is_segment else None
    return _discarded(folder, *_STATE, f"{MODEL}.new", "*.tmp", but=kept)


def _discarded(folder: Path, *patterns: str, but: str | None = None) -> list[Path]:
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return [path for path in found if path.name != but and discard(path)]
