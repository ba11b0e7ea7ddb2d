"""Which MLflow run each trial has, kept beside the study so that looking it up needs no MLflow.

MLflow is the owner; this is what it was seen to hold by the last driver.
"""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

from runner.errors import DiskRefused
from runner.experiment import write_whole

logger = logging.getLogger(__name__)

RUNS = "runs.txt"


class RunIds:
    """A file of one line a trial, added to as runs are made.

    Args:
        folder: The study's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RUNS
        self._is_given_up = False

    def begin(self, known: Mapping[int, str]) -> None:
        """Begin the file anew with the runs that there are.

        Where the disk refuses, the file is given up: without it, readers ask MLflow.
        """
        lines = (_line(number, run_id) for number, run_id in known.items())
        try:
            write_whole(self._path, "".join(lines))
        except DiskRefused as error:
            self._give_up(error)

    def add(self, number: int, run_id: str) -> None:
        """A trial has got its run. Called from the thread that writes to MLflow: raises nothing.

        Where the disk refuses, as `begin`.
        """
        if self._is_given_up:
            return
        try:
            with self._path.open("a") as file:
                file.write(_line(number, run_id))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._is_given_up = True
        logger.warning("%s is given up, MLflow has what it says: %s", self._path, error)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def known_run_ids(folder: Path) -> dict[int, str] | None:
    """The run of each trial; None for a study that has no such file, or a damaged one."""
    path = folder / RUNS
    if not path.exists():
        return None
    try:
        whole = path.read_text().rpartition("\n")[0].splitlines()
        pairs = (line.split(" ") for line in whole)
        return {int(number): run_id for number, run_id in pairs}
    except ValueError:
        # A power cut leaves zeros where the last lines were.
        return None


def _line(number: int, run_id: str) -> str:
    return f"{number} {run_id}\n"
