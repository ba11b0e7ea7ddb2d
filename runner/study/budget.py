"""The study's budget of trials and wall-clock time, counted over all its commands."""

import sys
import time
from dataclasses import dataclass


@dataclass
class Budget:
    """What a search may still spend.

    Attributes:
        trials: Trials of the whole study, or None for no limit.
        time_s: Seconds of the whole study, or None for no limit.
        used_before_s: Seconds that earlier commands used.
    """

    trials: int | None
    time_s: float | None
    used_before_s: float = 0.0

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    @property
    def used_s(self) -> float:
        """Seconds used, this command's included."""
        return self.used_before_s + time.monotonic() - self._started

    @property
    def is_time_up(self) -> bool:
        """Whether the time is used up."""
        return self.time_s is not None and self.used_s >= self.time_s

    def room(self, asked: int) -> int:
        """How many more trials a study that has asked for so many may ask for."""
        if self.is_time_up:
            return 0
        return sys.maxsize if self.trials is None else max(0, self.trials - asked)
