"""What a trial leaves that it would have gone on from."""

from pathlib import Path

from runner.trial.custom.folders import TrialFolders
from runner.trial.job import CHECKPOINT, Outcome


def remove_state(folder: Path) -> None:
    """Remove checkpoints and half-written files of a trial that will not go on.

    An attempt that crashed leaves them, as it may be run again from there.

    Args:
        folder: The trial's.
    """
    for path in (*folder.glob(f"{CHECKPOINT}*"), *folder.glob("*.tmp")):
        path.unlink(missing_ok=True)
    TrialFolders(folder).end(Outcome.FAILED)
