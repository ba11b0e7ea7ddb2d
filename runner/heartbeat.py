"""Signs of life of the job that this process runs.

Training asks with every batch what the study wants, so a job that asks nothing any more has hung
or computes something long. Who waits for what another process makes beats meanwhile. Whoever holds
the process decides what to make of silence; here it is only counted.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Pulse:
    """Counts signs of life; any thread may beat.

    Attributes:
        beats: How many there were so far.
    """

    def __init__(self) -> None:
        self.beats = 0
        self._muted = threading.local()

    def beat(self) -> None:
        """The job has got on, unless this is within `unnoticed`."""
        if not getattr(self._muted, "is_so", False):
            self.beats += 1

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        """What this thread does within is no sign of life: it watches over another process."""
        self._muted.is_so = True
        try:
            yield
        finally:
            self._muted.is_so = False


pulse = Pulse()
"""Of the one job that a process runs at a time."""
