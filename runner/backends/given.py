"""A job that a worker has been given, as its driver follows it; and how patient the driver is."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from runner.backends.life import Watch
from runner.trial import Attempt, Decision, Ending, Job, Outcome

# A worker told to leave gets this long to save its checkpoint before it is killed.
GRACE_S = 30.0
# A worker that dies this often in a row without ending a trial will not do better.
MAX_DEATHS_IN_A_ROW = 3
# A driver does not look after its workers more often than this.
LOOKS_EVERY_S = 0.25


@dataclass
class Given:
    """What a worker was given and has not ended, and what it was told of it.

    Args:
        attempts: The job's; none for a worker that has no job.
        grace_s: Seconds that a trial which was told to leave gets for it.
        silence_s: Seconds that the worker may show no sign of life; None: for ever.

    Attributes:
        open: Attempts that have not ended.
        is_killed: Whether the worker was killed because one of them did not leave.
        was_silent: Whether it was killed because it showed no sign of life.
    """

    attempts: Iterable[Attempt] = ()
    grace_s: float = GRACE_S
    silence_s: float | None = None
    open: set[Attempt] = field(init=False)
    is_killed: bool = field(default=False, init=False)
    was_silent: bool = field(default=False, init=False)
    _told: dict[Attempt, Decision] = field(default_factory=dict, init=False)
    _leave_by_s: dict[Attempt, float] = field(default_factory=dict, init=False)
    _watch: Watch = field(default_factory=Watch, init=False)
    _heard_s: float = field(default=0.0, init=False)
    _alive_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.open = set(self.attempts)

    @classmethod
    def of(cls, job: Job, *, grace_s: float, silence_s: float | None = None) -> "Given":
        """A job that a worker is given now."""
        return cls([spec.key for spec in job.trials], grace_s, silence_s)

    def news(self, wanted: Mapping[Attempt, Decision]) -> dict[Attempt, Decision]:
        """What of the study's wishes the worker has not been told; from now on it has been."""
        news = {
            key: wanted[key]
            for key in self.open & wanted.keys()
            if self._told.get(key) is not wanted[key]
        }
        for key in news:
            self._leave_by_s.setdefault(key, self._now_s() + self.grace_s)
        self._told.update(news)
        return news

    def hear(self) -> None:
        """The worker has said something about a trial."""
        self._heard_s = self._alive_s = self._now_s()

    def live(self) -> None:
        """The worker has shown a sign of life, or cannot show any just now."""
        self._alive_s = self._now_s()

    def end(self, key: Attempt) -> bool:
        """An attempt has ended; whether it was open."""
        if key not in self.open:
            return False
        self.open.discard(key)
        self._leave_by_s.pop(key, None)
        return True

    @property
    def has_hung(self) -> bool:
        """Whether a trial that was told to leave does not, and killing it costs no other.

        While others of its job are heard of, it is given more time: it may be trained after them.
        """
        now_s = self._now_s()
        if self.is_killed or all(now_s <= by_s for by_s in self._leave_by_s.values()):
            return False
        return self.open <= self._told.keys() or now_s > self._heard_s + self.grace_s

    @property
    def is_silent(self) -> bool:
        """Whether the worker has shown no sign of life for too long."""
        if self.silence_s is None or self.is_killed or self.was_silent:
            return False
        return self._now_s() > self._alive_s + self.silence_s

    @property
    def why_killed(self) -> str:
        """What is said of a worker that was killed."""
        if self.was_silent:
            return f"showed no sign of life for {self.silence_s:g} s (search.silence): killed"
        return f"did not leave within {self.grace_s:g} s of being told to, and was killed"

    def _now_s(self) -> float:
        """By a clock that stands still with the driver: the worker may be stopped with it."""
        patience_s = self.grace_s if self.silence_s is None else min(self.grace_s, self.silence_s)
        return self._watch.now_s(most_s=max(LOOKS_EVERY_S, patience_s / 4))

    def losses(self, reason: str) -> Iterator[tuple[Attempt, Ending]]:
        """How what is open ends when the worker has died: as it was told to, else as lost."""
        for key in sorted(self.open):
            told = self._told.get(key)
            yield key, Ending(Outcome.LOST if told is None else told.outcome, reason=reason)
