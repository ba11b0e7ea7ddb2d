"""Who wants to know what happens in a search while it happens."""

from typing import Protocol

from runner.study.trial_record import TrialRecord
from runner.trial import Lease, Report


class Listener(Protocol):
    """Hears a search's events, in the driver's own thread; must be quick."""

    def began(self, trial: TrialRecord, lease: Lease, epochs: int | None) -> None:
        """A trial begins or goes on; `epochs` is how many it trains if left alone, if known."""
        ...

    def reported(self, trial: int, report: Report) -> None:
        """A running trial has finished an epoch."""
        ...

    def ended(self, trial: TrialRecord) -> None:
        """An attempt at a trial has ended, and the study knows it."""
        ...

    def noted(self, text: str) -> None:
        """News of the search as a whole, one line."""
        ...


class Silent:
    """Hears and says nothing."""

    def began(self, trial: TrialRecord, lease: Lease, epochs: int | None) -> None:
        """See `Listener.began`."""

    def reported(self, trial: int, report: Report) -> None:
        """See `Listener.reported`."""

    def ended(self, trial: TrialRecord) -> None:
        """See `Listener.ended`."""

    def noted(self, text: str) -> None:
        """See `Listener.noted`."""
