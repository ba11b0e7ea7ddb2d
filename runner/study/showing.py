"""What others hear of a search: in order, behind the training, and only what is durable."""

import time
from collections import deque
from collections.abc import Callable

# A person does not see a tenth of a second, and the endings of trials that were trained as one
# job share one sync of the journal within it (a sync cost 1 to 6 ms where this was measured).
SHOWN_WITHIN_S = 0.1

Event = Callable[[], None]


class Showing:
    """Events that wait until what they tell is on the disk.

    Args:
        sync: Has everything written so far on the disk.
    """

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._waiting: deque[Event] = deque()
        self._since_s = 0.0

    def add(self, event: Event) -> None:
        """Let others hear of something that has been written."""
        if not self._waiting:
            self._since_s = time.monotonic()
        self._waiting.append(event)

    def show_due(self) -> None:
        """Show what has waited for long enough; asked a few times a second."""
        if self._waiting and time.monotonic() - self._since_s >= SHOWN_WITHIN_S:
            self.show()

    def show(self) -> None:
        """Show everything now."""
        if not self._waiting:
            return
        self._sync()
        while self._waiting:
            self._waiting.popleft()()
