"""Complete trials in the order of their values, kept up to date as they end."""

from bisect import bisect_left, insort

from runner.study.trial_record import TrialRecord


class Ranking:
    """The order of a study's complete trials, and which of them are among the best few.

    Args:
        places: How many are the best few.
        is_maximized: Whether a larger value is better.
    """

    def __init__(self, places: int, *, is_maximized: bool) -> None:
        self._places = places
        self._sign = -1.0 if is_maximized else 1.0
        # Best first; of equal values the lower loss, then the earlier trial.
        self._order: list[tuple[float, float, int]] = []

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return self._sign * self._order[0][0] if self._order else None

    def add(self, trial: TrialRecord) -> int | None:
        """Take in a complete trial; gives the one that is not among the best few for it.

        That may be the trial itself. None while there is room, and for one that is known.
        """
        entry = (self._sign * (trial.value or 0.0), trial.loss, trial.number)
        place = bisect_left(self._order, entry)
        if place < len(self._order) and self._order[place] == entry:
            return None
        insort(self._order, entry)
        if len(self._order) <= self._places:
            return None
        return self._order[max(place, self._places)][2]
