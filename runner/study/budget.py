"""The study's budget of trials and wall-clock time, counted over all its commands."""

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

    def allows(self, begun: int) -> bool:
        """Whether a study that has begun so many trials may begin another."""
        return (self.trials is None or begun < self.trials) and not self.is_time_up
