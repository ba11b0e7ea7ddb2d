"""A trial that has ended, as a user's function for the test gets it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SavedTrial:
    """What a trial was, and what it saved.

    Attributes:
        params: The parameters' values by name, as the trial had them.
        number: The trial's number in its study.
        seed: The trial's.
        devices: Where it was trained, or what this machine has in its place; whether they are free
            nobody has looked.
        threads: CPU threads that it had.
        folder: The trial's scratch folder, with what the trial left there.
        model: The file or folder that it saved (`save_model`, or the message `model`); None if
            it saved none.
    """

    params: Mapping[str, Any]
    number: int
    seed: int
    devices: tuple[str, ...]
    threads: int
    folder: Path
    model: Path | None

    @property
    def device(self) -> str:
        """The first of its devices."""
        return self.devices[0]
