"""What people are told of a search as a whole while it runs."""

import time
from collections.abc import Callable

from runner.study.listener import Listener
from runner.tracking import Trouble

# A server that is restarted, or a database that is locked for a moment, is no news.
TROUBLE_AFTER_S = 5.0


class News:
    """Tells each thing once, from the driver's own thread.

    Args:
        listener: Who is told.
        trouble: Why MLflow takes nothing just now, if so.
    """

    def __init__(self, listener: Listener, trouble: Callable[[], Trouble | None]) -> None:
        self._listener = listener
        self._trouble = trouble
        self._told_stop = ""
        self._is_troubled = False

    def tell(self, stop_reason: str) -> None:
        """Tell what is new.

        Args:
            stop_reason: Why the search is stopping; empty if it is not.
        """
        if stop_reason and not self._told_stop:
            self._told_stop = stop_reason
            self._listener.noted(
                f"stopping: {stop_reason}; what runs saves its state and leaves (Ctrl-C again "
                "ends at once)"
            )
        trouble = self._trouble()
        if trouble is None:
            if self._is_troubled:
                self._is_troubled = False
                self._listener.noted("MLflow answers again")
        elif not self._is_troubled and time.monotonic() - trouble.since_s > TROUBLE_AFTER_S:
            self._is_troubled = True
            self._listener.noted(
                f"MLflow takes nothing just now: {trouble.why}; training goes on, and what "
                "waits is delivered later"
            )
