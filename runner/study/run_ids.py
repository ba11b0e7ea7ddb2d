"""Which MLflow run each trial has, kept beside the study so that looking it up needs no MLflow.

MLflow is the owner; this is what it was seen to hold by the last driver.
"""

from collections.abc import Mapping
from pathlib import Path

RUNS = "runs.txt"


class RunIds:
    """A file of one line a trial, added to as runs are made.

    Args:
        folder: The study's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RUNS

    def begin(self, known: Mapping[int, str]) -> None:
        """Begin the file anew with the runs that there are."""
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(_line(number, run_id) for number, run_id in known.items()))
        temporary.replace(self._path)

    def add(self, number: int, run_id: str) -> None:
        """A trial has got its run."""
        with self._path.open("a") as file:
            file.write(_line(number, run_id))


def known_run_ids(folder: Path) -> dict[int, str] | None:
    """The run of each trial; None for a study that was never searched with this file."""
    path = folder / RUNS
    if not path.exists():
        return None
    whole = path.read_text().rpartition("\n")[0].splitlines()
    pairs = (line.split(" ") for line in whole)
    return {int(number): run_id for number, run_id in pairs}


def _line(number: int, run_id: str) -> str:
    return f"{number} {run_id}\n"
