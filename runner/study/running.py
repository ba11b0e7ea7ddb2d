"""The trials that are being run: by number, by place, and which of them are to leave.

The feed is asked several times for each trial, by a backend with thousands of slots too. So what
it is asked often is kept here as it changes, and not looked for among all that runs.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping

from runner.study.rules import RunningTrial
from runner.trial import Attempt, Decision


class Running:
    """What runs, one attempt a trial.

    Args:
        trial_time_s: How long a trial by itself may take, or None; see `RunningTrial.limit_s`.
    """

    def __init__(self, trial_time_s: float | None = None) -> None:
        self._trial_time_s = trial_time_s
        self._trials: dict[int, RunningTrial] = {}
        self._places: dict[str, dict[int, RunningTrial]] = defaultdict(dict)
        self._leaving: dict[Attempt, Decision] = {}
        # When each attempt is to be looked at next, for its limit of time: the earliest first.
        self._limits: list[tuple[float, Attempt]] = []

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, number: int) -> RunningTrial:
        return self._trials[number]

    def get(self, number: int) -> RunningTrial | None:
        """A trial that is running; None for any other."""
        return self._trials.get(number)

    @property
    def places(self) -> int:
        """How many devices, or slots of a CPU, are running a job."""
        return len(self._places)

    @property
    def leaving(self) -> Mapping[Attempt, Decision]:
        """What is wanted of those that are not to go on."""
        return dict(self._leaving)

    def add(self, trial: RunningTrial) -> None:
        """A trial begins; those on its device have one more neighbour if its job is new there."""
        self._trials[trial.key.trial] = trial
        there = self._places[trial.lease.place]
        there[trial.key.trial] = trial
        if self._trial_time_s is not None:
            heapq.heappush(self._limits, (trial.started_s, trial.key))
        jobs = len({other.lease.slot for other in there.values()})
        for other in there.values():
            other.beside = max(other.beside, jobs - 1)

    def remove(self, number: int) -> None:
        """A trial has ended."""
        trial = self._trials.pop(number)
        there = self._places[trial.lease.place]
        del there[number]
        if not there:
            del self._places[trial.lease.place]
        self._leaving.pop(trial.key, None)

    def want(self, trial: RunningTrial, decision: Decision, why: str) -> None:
        """Have a trial leave; what was wanted of it first counts."""
        if trial.decision is Decision.CONTINUE:
            trial.decision, trial.why = decision, why
            self._leaving[trial.key] = decision

    def want_all(self, decision: Decision, why: str) -> None:
        """Have every trial leave that is not to leave already."""
        for trial in self._trials.values():
            self.want(trial, decision, why)

    def overdue(self, *, now_s: float) -> Iterator[RunningTrial]:
        """Trials that have taken longer than they may, each once.

        Args:
            now_s: The monotonic clock.
        """
        limit = self._trial_time_s
        while limit is not None and self._limits and self._limits[0][0] < now_s:
            _, key = heapq.heappop(self._limits)
            trial = self._trials.get(key.trial)
            if trial is None or trial.key != key:
                continue
            # Neighbours may come, and with them more time: what is reached is looked at anew.
            limit_s = trial.started_s + trial.limit_s(limit)
            if limit_s < now_s:
                yield trial
            else:
                heapq.heappush(self._limits, (limit_s, key))
