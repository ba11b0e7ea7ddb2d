"""Signs of life: what a worker says of itself now and then, and for how long it may not.

A worker cannot be looked into from outside. One that is stopped, or waits for ever, or goes round
in circles, is known by what it no longer says.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from runner.heartbeat import pulse

# As often as this costs nothing, and is soon enough.
BEAT_EVERY_S = 5.0
# A worker that waits uses the processor too: a thread that looks for its driver, the interpreter.
IDLE_SHARE = 0.01
# What the system counts processor time in, twice: processes are looked at one after the other.
TICK_S = 0.02
# And writes its log, and what it says to its driver.
WRITTEN_MB = 0.5
# Whoever looks for such signs does so at least this often, unless it has been away itself.
LOOKS_WITHIN_S = 2 * BEAT_EVERY_S
# Starting takes an interpreter and some imports, however short a silence is asked for.
START_S = 120.0


@dataclass(frozen=True)
class Silence:
    """How long a worker may show no sign of life.

    Attributes:
        limit_s: In a trial; then it has hung.
        is_computing_life: Whether use of the processor is a sign of life in a trial. While a
            worker starts, or makes the second pass, it always is.
    """

    limit_s: float
    is_computing_life: bool = True

    @property
    def beat_every_s(self) -> float:
        """How often a worker speaks that gets on."""
        return min(BEAT_EVERY_S, self.limit_s / 4)

    @property
    def of_a_start_s(self) -> float:
        """How long a worker may be silent that has no trial."""
        return max(self.limit_s, START_S)


class Watch:
    """A clock that hardly moves while nobody looks at it.

    Who waits for another process may be stopped together with it (a paused container, a suspended
    job), or busy: that is no time in which the other has said nothing.
    """

    def __init__(self) -> None:
        self._looked_s = time.monotonic()
        self._watched_s = 0.0

    def now_s(self, *, most_s: float) -> float:
        """Seconds watched so far.

        Args:
            most_s: What counts at most of the time since it was last looked at.
        """
        before_s, self._looked_s = self._looked_s, time.monotonic()
        self._watched_s += min(self._looked_s - before_s, most_s)
        return self._watched_s


class Vitals:
    """Tells whether this process has got on since it was last asked; always by the same thread.

    Args:
        idle_share: What it uses of a processor core when it waits.
    """

    def __init__(self, *, idle_share: float = IDLE_SHARE) -> None:
        self._idle_share = idle_share
        self._beats = pulse.beats
        self._effort: Effort | None = None
        self._watch = Watch()
        self._looked_s = 0.0

    def have_moved(self, *, is_computing_life: bool) -> bool:
        """Whether the job has beaten since the last call, or has worked where that counts.

        Args:
            is_computing_life: Whether it counts.
        """
        before, self._beats = self._beats, pulse.beats
        if self._beats != before:
            self._effort = None
            return True
        return is_computing_life and self._has_worked()

    def _has_worked(self) -> bool:
        before, self._effort = self._effort, Effort.so_far()
        looked_s, self._looked_s = self._looked_s, self._watch.now_s(most_s=LOOKS_WITHIN_S)
        if before is None:
            return True
        idle_s = self._idle_share * (self._looked_s - looked_s) + TICK_S
        # Less than before: a process has ended that had worked.
        is_busy = abs(self._effort.busy_s - before.busy_s) > idle_s
        return is_busy or abs(self._effort.written_mb - before.written_mb) > WRITTEN_MB


@dataclass(frozen=True)
class Effort:
    """What this process, and all that it has started, have done so far.

    Attributes:
        busy_s: Processor time but for that of the thread which looks, seconds.
        written_mb: Written to files and pipes, MB; 0 where the system does not tell. A download
            takes hardly any processor time.
    """

    busy_s: float
    written_mb: float

    @classmethod
    def so_far(cls) -> Self:
        """Until now."""
        import psutil

        this = psutil.Process()
        started: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            started = this.children(recursive=True)
        # psutil's own figure is in ticks, and looking would now and then be seen as a whole one.
        busy_s, written = time.process_time() - time.thread_time(), 0
        for process in (this, *started):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                busy_s += times.children_user + times.children_system
                busy_s += 0.0 if process is this else times.user + times.system
                if hasattr(process, "io_counters"):
                    written += process.io_counters().write_chars
        return cls(busy_s, written / 1e6)


class Heart(threading.Thread):
    """Says every few seconds that this process gets on, if it does and has something to do.

    Args:
        say: Tells the driver.
        silence: How long that may be left out.
    """

    def __init__(self, say: Callable[[], object], silence: Silence) -> None:
        super().__init__(name="heart", daemon=True)
        self._say = say
        self._silence = silence
        self._is_at_work = threading.Event()
        self._is_in_trial = False

    @contextlib.contextmanager
    def at_work(self, *, is_trial: bool) -> Iterator[None]:
        """Beat within; see `Silence.is_computing_life` for what a trial is."""
        self._is_in_trial = is_trial
        self._is_at_work.set()
        try:
            yield
        finally:
            self._is_at_work.clear()

    def run(self) -> None:
        """See `Thread.run`."""
        vitals = Vitals()
        while True:
            self._is_at_work.wait()
            time.sleep(self._silence.beat_every_s)
            counts = self._silence.is_computing_life or not self._is_in_trial
            if self._is_at_work.is_set() and vitals.have_moved(is_computing_life=counts):
                try:
                    self._say()
                except OSError:
                    # The driver has gone, and this process ends.
                    return
