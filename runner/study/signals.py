"""Ctrl-C and SIGTERM: once ends a search gracefully, twice at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runner.study.feed import StudyFeed


@contextmanager
def graceful_signals(feed: StudyFeed) -> Iterator[None]:
    """Ctrl-C or SIGTERM once asks the search to stop; again, it ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        feed.stop(f"interrupted by {names[signal.Signals(number)]}", is_asked=True)

    before = {number: signal.signal(number, handle) for number in names}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
