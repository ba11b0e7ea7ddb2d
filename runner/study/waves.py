"""Waves: trials are asked for several at once, wait in a queue, and leave it as jobs of kin.

Within a wave the cheap trials run first: the sampler hears of none of them before the wave was
asked, so their order costs it nothing.
"""

import logging
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from operator import attrgetter
from typing import Any

from runner.study.budget import Budget
from runner.study.inbox import Enqueue
from runner.study.record import StudyRecord
from runner.study.sampling import Proposal, Sampling
from runner.study.trial_record import Asked, TrialRecord
from runner.trial import Demand, Hint, derive_seed

logger = logging.getLogger(__name__)

HintOf = Callable[[Mapping[str, Any]], Hint]


def _no_hint(params: Mapping[str, Any]) -> Hint:
    return Hint()


def _one_slot() -> int:
    return 1


@dataclass(frozen=True)
class WaveRules:
    """How trials are asked for and put together.

    Attributes:
        size: How many are asked for at once.
        free_size: How many at most where no proposal depends on a result anyway.
        fuse: Most trials of one job.
        slots: How many devices, or slots of a CPU, there are just now; trials of kin are shared
            out among those that are free.
        hint_of: What a trial with given parameters will be like.
    """

    size: int = 1
    free_size: int = 1
    fuse: int = 1
    slots: Callable[[], int] = _one_slot
    hint_of: HintOf = _no_hint


class Turn(IntEnum):
    """What comes before what in the queue."""

    AGAIN = 0
    GIVEN = 1
    SAMPLED = 2


@dataclass(frozen=True, order=True)
class Waiting:
    """A trial in the queue; what sorts first runs first.

    Attributes:
        turn: Whether it has been begun before, was given by a person, or neither.
        wave: Number of the first trial of its wave.
        cost: Its expected work beside that of the others of its wave.
        number: Its own.
        kin: What it can be trained together with; None: alone.
        memory: What its need of device memory depends on, if that is known.
        is_exclusive: Whether it must have a device to itself.
    """

    turn: Turn
    wave: int
    cost: float
    number: int
    kin: str | None = field(compare=False)
    memory: Demand | None = field(compare=False)
    is_exclusive: bool = field(compare=False)


class Waves:
    """The queue of a study: what has been asked and not begun, and what is to be run again.

    Args:
        record: The study; every trial of a wave is written to it before one of them begins.
        sampling: Proposes the trials that nobody gave.
        rules: Sizes of waves and jobs.
        seed: The study's.
        first: Known-good settings, asked before all others.
    """

    def __init__(
        self,
        record: StudyRecord,
        *,
        sampling: Sampling,
        rules: WaveRules,
        seed: int,
        first: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._record = record
        self._sampling = sampling
        self._rules = rules
        self._seed = seed
        self._is_exhausted = False
        trials = record.trials()
        self._taken = {trial.origin for trial in trials}
        self._first = [(f"first:{index}", params) for index, params in enumerate(first)]
        self._enqueued: list[Enqueue] = []
        self._alone: set[int] = set()
        self._begun = sum(trial.attempt >= 0 for trial in trials)
        self._cut_short = _cut_short(trials)
        self._queue = sorted(self._waiting(trial) for trial in trials if trial.is_waiting)

    def enqueue(self, wish: Enqueue) -> None:
        """A person's setting; it is asked for next, ahead of what already waits."""
        if all(known.id != wish.id for known in self._enqueued):
            self._enqueued.append(wish)

    def has_taken(self, wish: Enqueue) -> bool:
        """Whether a person's setting has become a trial of the study."""
        return f"enqueued:{wish.id}" in self._taken

    def again(self, trial: TrialRecord, *, is_alone: bool) -> None:
        """Put a lost trial back: it runs next, by itself if others may have been its doom."""
        if is_alone:
            self._alone.add(trial.number)
        insort(self._queue, self._waiting(trial))

    def next_job(self, *, budget: Budget, busy: int) -> list[Waiting]:
        """The trials of the next job, which stay in the queue; none if there are no more.

        Args:
            budget: Bounds how many trials are asked for, and how many begin.
            busy: Devices, or slots of a CPU, that are running a job.
        """
        self._ask_what_is_due(budget)
        again = bisect_right(self._queue, Turn.AGAIN, key=attrgetter("turn"))
        ready = self._queue[: again + budget.room(self._begun)]
        if not ready:
            return []
        job = ready[:1]
        if (shared := job[0].kin) is not None:
            kin = [waiting for waiting in ready if waiting.kin == shared]
            free = max(1, self._rules.slots() - busy)
            job = kin[: min(self._rules.fuse, -(-len(kin) // free))]
        return job

    def begin(self, job: Sequence[Waiting]) -> None:
        """The trials of the next job leave the queue."""
        begun = {waiting.number for waiting in job}
        self._queue = [waiting for waiting in self._queue if waiting.number not in begun]
        self._begun += sum(waiting.turn != Turn.AGAIN for waiting in job)

    def _ask_what_is_due(self, budget: Budget) -> None:
        if self._cut_short is not None:
            wave, self._cut_short = self._cut_short, None
            self._ask(wave, room=budget.room(self._record.count))
        # A person's wish is not refused because a whole wave has been asked for: what has begun
        # counts, and one trial of the wave is left waiting in its place.
        while self._queue and self._enqueued and budget.room(self._begun):
            self._ask((self._record.count, 1), room=1)
        count = self._record.count
        if not self._queue and self._sampling.is_due(count):
            self._ask((count, self._size(count)), room=budget.room(count))

    def _size(self, asked: int) -> int:
        """How many trials to ask for when none waits."""
        return max(self._rules.size, min(self._sampling.blind(asked), self._rules.free_size))

    def _ask(self, wave: tuple[int, int], *, room: int) -> None:
        """Ask for a wave, or for what a kill has left of one.

        Args:
            wave: The number of its first trial, and how many it has.
            room: The most that may be asked for.
        """
        begin = self._record.count
        size = min(sum(wave) - begin, room)
        wave = (wave[0], begin + size - wave[0])
        asked: list[Asked] = []
        for number in range(begin, begin + size):
            origin, proposal = self._propose(number)
            if proposal is None:
                self._say_exhausted()
                break
            self._taken.add(origin)
            seed = derive_seed(self._seed, "trial", number)
            asked.append(Asked(proposal, origin, seed, wave))
        numbers = self._record.add_all(asked)
        new = [self._waiting(self._record.trial(number)) for number in numbers]
        self._queue = sorted([*self._queue, *new])

    def _propose(self, number: int) -> tuple[str, Proposal | None]:
        for origin, params in self._first:
            if origin not in self._taken:
                return origin, self._sampling.given(number, params)
        if self._enqueued:
            wish = self._enqueued.pop(0)
            return f"enqueued:{wish.id}", self._sampling.given(number, wish.params)
        return "sampler", self._sampling.ask(number)

    def _waiting(self, trial: TrialRecord) -> Waiting:
        hint = self._rules.hint_of(trial.params)
        turn, wave, cost = Turn.SAMPLED, trial.wave[0], hint.cost
        if trial.attempt >= 0:
            turn, wave, cost = Turn.AGAIN, 0, 0.0
        elif trial.origin != "sampler":
            turn, wave, cost = Turn.GIVEN, 0, 0.0
        kin = None if trial.number in self._alone else hint.kin
        return Waiting(turn, wave, cost, trial.number, kin, hint.memory, trial.is_exclusive)

    def _say_exhausted(self) -> None:
        if not self._is_exhausted:
            logger.info(self._sampling.exhausted)
        self._is_exhausted = True


def _cut_short(trials: Sequence[TrialRecord]) -> tuple[int, int] | None:
    """The last wave, if a kill kept some of its trials from being written."""
    if not trials:
        return None
    begin, size = trials[-1].wave
    return (begin, size) if begin + size > len(trials) else None
